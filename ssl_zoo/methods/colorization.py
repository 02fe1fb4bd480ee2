"""Colorization: a network sees images in grey and predicts their colours."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.encoders.lab import to_lab, to_rgb
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import trainer_of
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import AT_CHANCE, Alarm, few_codes
from ssl_zoo.parts.codebooks import code_perplexity
from ssl_zoo.parts.pretext import require_images, unit_images
from ssl_zoo.parts.refit import Count, Refit
from ssl_zoo.targets.colours import (
    annealed_mean,
    colour_bins,
    constant_loss,
    rebalanced,
    soft_bins,
)
from ssl_zoo.views.base import Views, require_at_least

IN_GREY = 1.0  # a and b that nobody sees, of 110 that screens show at most
EXAMPLES = 2048  # of the training data, whose colours stand for all
OF_CONSTANT = "train/of_constant"


class Colorization(Method):
    """Predicts the colours of images that are shown in grey (Zhang, Isola and Efros, 2016, arXiv:1603.08511).

    Colours are CIELAB's a and b, in bins of 10 by 10 of which Q are in gamut. With e the encoder, which sees lightness
    L alone, and at every place h of the image z_h its colour spread over the five nearest bins, q_h the nearest, v(q)
    a weight that is the greater the rarer a bin is (equations 2 to 4), and g one linear layer:

        loss = mean over h of  -v(q_h)  sum over q of  z_h,q log softmax(g(e(L)_h))_q

    Without the weights all colours become the grey and brown of backgrounds. Frequencies are those of the training
    images, measured once before the first step. Pictures show the mean of the prediction, sharpened by `temperature`.

    Features are those of images in grey, in evaluation too. Watch `train/of_constant`, the loss over that of the best
    prediction that ignores the image: 1 where nothing is learnt, and never 0, as colours are spread; and
    `train/accuracy`, how often the nearest bin is the likeliest, against `train/chance`. figures/colours.png shows
    images in grey, with colours given back, and as they are.

    Args:
        encoder: The network to pretrain, of images in colour.
        views: Changes every image before it is predicted, such as crops and mirror images; None takes images as they
            are.
        cells: Number of colours along a side of a place of the encoder, which is 8 by 8 pixels of a ResNet for small
            images.
        mixed: Part of a uniform distribution that is mixed into the frequencies of bins before loss is weighted by
            their inverse, in (0, 1]; 1 weights all alike.
        temperature: What logits are divided by before pictures show their mean; 1 is pale, towards 0 spotty.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: images have no colours, half of the encoder sees nothing else, or an argument is out of its range.
    """

    bins: Tensor
    weights: Tensor
    constant: Tensor

    def __init__(
        self,
        encoder: Encoder,
        views: Views | None = None,
        cells: int = 2,
        mixed: float = 0.5,
        temperature: float = 0.38,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_images(encoder, "Colorization", "predicts colours")
        if encoder.channels != 3:
            raise InputError(
                f"Colorization predicts colours, of which images of {encoder.channels} channels have none: take images "
                "of three, such as CIFAR10 or an ImageFolder of photographs."
            )
        if encoder.halves:
            raise InputError(
                f"Colorization shows images in grey, and half of {type(encoder).__name__} sees colours alone: take an "
                "encoder of whole images, such as ResNet."
            )
        require_at_least("Colorization's cells", cells, 1)
        if not 0 < mixed <= 1 or not temperature > 0:
            raise InputError(
                f"Colorization's mixed is {mixed} and its temperature {temperature}: give a part above 0 and up to 1, "
                "and a number above 0."
            )
        self.views, self.cells, self.mixed, self.temperature = views, cells, mixed, temperature
        self.register_buffer("bins", colour_bins().clone())
        self.register_buffer("weights", torch.ones(len(self.bins)))
        self.register_buffer("constant", torch.tensor(math.log(len(self.bins))))
        self.fitted = Count()
        self.head = nn.Linear(encoder.dim, cells**2 * len(self.bins))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, its part of a constant prediction's, and how often the nearest bin is the likeliest."""
        self.fitted.require_some("Colorization", self.training and trainer_of(self) is not None)
        images = unit_images(batch.inputs if self.views is None else self.make_views(batch).inputs)
        lab = to_lab(images)
        logits = self.scores(lab[:, :1]).float()
        colours = self.colours(lab, logits.shape[1]).flatten(0, 2)
        spread, near = soft_bins(colours, self.bins)
        nats = -(spread * logits.flatten(0, 2).log_softmax(1).gather(1, near)).sum(1)
        loss, nearest = (self.weights[near[:, 0]] * nats).mean(), near[:, 0]
        accuracy = (logits.flatten(0, 2).argmax(1) == nearest).float().mean()
        return {
            "loss": loss,
            "of_constant": loss.detach() / self.constant,
            "accuracy": accuracy,
            "chance": torch.full_like(accuracy, 1 / len(self.bins)),
            "code_perplexity": code_perplexity(nearest, torch.ones_like(nearest, dtype=torch.bool), len(self.bins)),
        }

    def scores(self, lightness: Tensor) -> Tensor:
        """``(B, G, G, Q)`` logits of the bins, at G by G places, for L ``(B, 1, H, W)`` in [0, 100]."""
        vectors = self.encoder(in_grey(lightness)).sequence
        side = math.isqrt(vectors.shape[1])
        if side**2 != vectors.shape[1]:
            raise InputError(
                f"Colorization lays places out in a square, and {type(self.encoder).__name__} has {vectors.shape[1]} "
                "of these images: set data.image_size, so that images are square."
            )
        logits = self.head(vectors).view(-1, side, side, self.cells, self.cells, len(self.bins))
        return logits.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def colours(self, lab: Tensor, side: int) -> Tensor:
        """``(B, G, G, 2)``, mean a and b of each of G by G parts of images ``(B, 3, H, W)`` in CIELAB."""
        return F.adaptive_avg_pool2d(lab[:, 1:], side).permute(0, 2, 3, 1)

    def encode(self, batch: Batch, layers: bool = False) -> Encoded:
        """As of every method, of images in grey."""
        return self.encoder(in_grey(to_lab(unit_images(batch.inputs))[:, :1]), batch.mask, layers=layers)

    def refits(self) -> list[Refit]:
        """How often bins are the nearest, once, before the first step."""
        what = "how frequent colours are"
        once = Refit(0.0, what, self._collect, self._count, self._weigh, EXAMPLES)
        return [] if self.fitted.value else [once]

    def _collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        lab = to_lab(unit_images(batch.inputs))
        colours = self.colours(lab, self.scores(lab[:1, :1]).shape[1]).flatten(1, 2)
        return colours, torch.ones(colours.shape[:2], dtype=torch.bool, device=colours.device)

    def _count(self, colours: Tensor) -> Tensor:
        """``(2, Q)``: weights, and what colours ``(M, 2)`` have of every bin, weighted."""
        if colours.abs().max() < IN_GREY:
            raise InputError(
                "Colorization predicts colours, and the training images have none, though they have three channels: "
                "take images in colour, such as NotoEmoji or CIFAR10."
            )
        parts = [soft_bins(some, self.bins) for some in colours.split(4096)]  # all at once may not fit into memory
        spread, near = (torch.cat(each) for each in zip(*parts, strict=True))
        frequencies = near[:, 0].bincount(minlength=len(self.bins)) / len(near)
        weights = rebalanced(frequencies, self.bins, self.mixed)
        weighted = (weights[near[:, :1]] * spread).flatten() / len(near)
        return torch.stack([weights, torch.zeros_like(weights).index_add_(0, near.flatten(), weighted)])

    def _weigh(self, found: Tensor) -> None:
        self.weights.copy_(found[0])
        self.constant.copy_(constant_loss(found[1]))
        self.fitted.value = 1

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A loss that no image changes, and images without colours."""
        sentence = (
            f"The same colours are predicted for all images: the loss is {{{OF_CONSTANT}:.3f}} of that of a constant "
            "prediction. Look at the learning rate, and at whether grey images say anything of their colours."
        )
        grey = few_codes("Look at the images, which may be grey ones in three channels.")
        return [*super().alarms(batch_size), Alarm(OF_CONSTANT, sentence, above=AT_CHANCE), grey]

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Images in grey, with the colours that are predicted, and as they are."""
        images = unit_images(batch.inputs)
        lightness = to_lab(images)[:, :1]
        colours = annealed_mean(self.scores(lightness), self.bins, self.temperature).permute(0, 3, 1, 2)
        whole = F.interpolate(colours, images.shape[2:], mode="bilinear")
        rows = [to_rgb(torch.cat([lightness, each], 1)) for each in (torch.zeros_like(whole), whole)]
        return {"colours": (torch.cat([*rows, images]), len(images), ["in grey", "coloured", "as they are"])}


def in_grey(lightness: Tensor) -> Tensor:
    """``(B, 3, H, W)`` in [0, 1], what an encoder of colour images sees of L ``(B, 1, H, W)`` in [0, 100]."""
    return (lightness / 100).expand(-1, 3, -1, -1)
