"""Contrastive multiview coding: what an image's lightness says, its colours say too."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.lab import to_lab, to_rgb
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.contrastive import matched_logits
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm
from ssl_zoo.parts.pretext import unit_images
from ssl_zoo.views.base import Views, require_at_least, require_positive

COLOUR = f"{metrics.TRAIN}/colour"
IN_GREY = 0.002  # half a step of 255, on average over all pixels
SHOWN = 70.0  # lightness at which pictures show colours by themselves


class CMC(Method):
    """Contrastive multiview coding (Tian, Krishnan and Isola, 2019, arXiv:1906.05849).

    Two networks see two parts of an image, its lightness and its colours, and agree on which belong together. With u_i
    and v_i their vectors of the N images of the global batch after a linear layer each, t the temperature, and

        l(u, v) = -1 / N  sum over i of  log  exp(cos(u_i, v_i) / t)  /  sum over j of exp(cos(u_i, v_j) / t)

    the loss goes both ways (section 3.2):

        loss = l(u, v) + l(v, u)

    Negatives are the other images of the batch. The paper has 16,384 of them, in a memory of older vectors, and
    estimates the softmax by noise-contrastive estimation; here it is exact and nothing is remembered.

    Probes see both networks' vectors side by side, as in the paper. Watch `train/accuracy`, how often an image's other
    half is the nearest of N, both ways, and the loss against 2 log N, its value when the networks distinguish nothing.
    figures/matched.png shows images in grey, their colours, and the colours that were found for them.

    Args:
        encoder: The network to pretrain, of two halves that share nothing: SplitResNet.
        views: Changes every image before it is taken apart, such as crops and mirror images; of several copies each is
            contrasted with those of the other images alone. None takes images as they are.
        temperature: What cosines are divided by, t.
        projection_dim: Size of the projections, u and v.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is not made of two halves, or an argument is out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views | None = None,
        temperature: float = 0.07,
        projection_dim: int = 128,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not encoder.halves:
            raise InputError(
                f"CMC contrasts what two networks make of two parts of an image, and {type(encoder).__name__} is one "
                "network: take SplitResNet, of images in colour."
            )
        require_positive("temperature", temperature)
        require_at_least("CMC's projection_dim", projection_dim, 1)
        self.views, self.temperature = views, temperature
        self.heads = nn.ModuleList(nn.Linear(encoder.dim // 2, projection_dim) for _ in range(2))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE both ways, how often the other half is the nearest candidate, and how much colour there is."""
        copies = 1 if self.views is None else self.views.views_per_example
        images = batch.inputs if self.views is None else self.make_views(batch).inputs
        losses, found = [], []
        for pair in zip(*(half.chunk(copies) for half in self.projections(images)), strict=True):
            for anchors, candidates in (pair, pair[::-1]):
                logits, targets = matched_logits(anchors, candidates, self.temperature)
                losses.append(F.cross_entropy(logits, targets))
                found.append((logits.detach().argmax(1) == targets).float().mean())
        colour = (images.amax(1) - images.amin(1)).float().mean() / (255 if images.dtype == torch.uint8 else 1)
        return {"loss": 2 * torch.stack(losses).mean(), "accuracy": torch.stack(found).mean(), "colour": colour}

    def projections(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, D)`` each, of the lightness and of the colours of images ``(B, 3, H, W)``."""
        lightness, colours = self.encoder(images).pooled.chunk(2, 1)
        return self.heads[0](lightness), self.heads[1](colours)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Images without colours, too."""
        sentence = (
            f"The images have no colours to be contrasted with their lightness: their channels differ by "
            f"{{{COLOUR}:.4f}} of 1. Take images in colour, such as NotoEmoji or CIFAR10."
        )
        return [*super().alarms(batch_size), Alarm(COLOUR, sentence, below=IN_GREY)]

    def chance_loss(self, batch_size: int) -> float:
        """2 log N, every candidate being equally likely both ways."""
        return 2 * math.log(batch_size)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Images in grey, their colours without their lightness, and the colours that are nearest to what is seen."""
        lab = to_lab(unit_images(batch.inputs))
        lightness, colours = lab[:, :1], lab[:, 1:]
        seen, known = (F.normalize(half, dim=1) for half in self.projections(batch.inputs))
        nearest = (seen @ known.T).argmax(1)  # of these images: pictures are drawn by one process alone
        shown = [
            torch.cat([lightness, torch.zeros_like(colours)], 1),
            *(torch.cat([torch.full_like(lightness, SHOWN), each], 1) for each in (colours, colours[nearest])),
        ]
        return {"matched": (torch.cat([to_rgb(each) for each in shown]), len(lab), ["in grey", "its colours", "found"])}
