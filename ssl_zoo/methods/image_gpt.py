"""Image GPT: every pixel is predicted from those before it, as words are, or hidden ones from all others."""

import math

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.encoders.base import Encoded, mean_over_places
from ssl_zoo.encoders.image_gpt import ImageGPTEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.codebooks import gumbel
from ssl_zoo.randomness import fold_in

HIDING, DRAWING = 1, 2  # what an example's keys are folded with


class ImageGPT(Method):
    """Generative pretraining from pixels (Chen et al., 2020, International Conference on Machine Learning).

    With x_1 ... x_n the codes of an image's pixels in a palette, row by row, h the encoder's vectors of them, h_0 that
    of a token in front of all, and W one matrix:

        loss = mean over images and pixels i of -log softmax(W h_(i-1))[x_i]

    in nats per pixel. With an encoder that is not `causal` it is the paper's BERT objective: one learnt vector stands
    at a part of the pixels, and the mean is over these, with h_i for h_(i-1).

    Features are the mean over the pixels of a middle layer: the last ones know best what the next pixel will be, and
    less what the image shows. Evaluation probes all layers beside it.

    Watch `train/bits_per_dim`, the loss in bits and per channel of a pixel: it compares with runs of the same palette
    and size of images only. `train/accuracy` is the part of the pixels whose likeliest code is right.
    figures/completions.png shows images, their upper halves, and how the model goes on; figures/samples.png what it
    draws from nothing.

    Args:
        encoder: The network to pretrain.
        mask_ratio: Part of the pixels that is hidden where the encoder is not causal; 0.15 is the paper's.
        feature_layer: Layer whose vectors are the features, from 0, what enters the first one; None is the middle.
        temperature: Divides the logits before pixels are drawn for pictures; 0 takes the likeliest each time.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder has no codes for pixels, or an argument is out of its range.
    """

    encoder: ImageGPTEncoder

    def __init__(
        self,
        encoder: ImageGPTEncoder,
        mask_ratio: float = 0.15,
        feature_layer: int | None = None,
        temperature: float = 1.0,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, ImageGPTEncoder):
            raise InputError(
                f"ImageGPT predicts codes of pixels, and {type(encoder).__name__} makes none: take ImageGPTEncoder."
            )
        self.feature_layer = encoder.num_layers // 2 if feature_layer is None else feature_layer
        if not 0 <= self.feature_layer < encoder.num_layers:
            raise InputError(f"feature_layer is {feature_layer}; give a layer from 0 to {encoder.num_layers - 1}.")
        if temperature < 0:
            raise InputError(f"temperature is {temperature}; give a number of at least 0.")
        self.temperature, self.hiding = temperature, RandomPlaces(mask_ratio)
        self.head = nn.Linear(encoder.dim, len(encoder.palette), bias=False)
        nn.init.normal_(self.head.weight, std=0.02)
        if not encoder.causal:
            self.mask_vector = nn.Parameter(0.02 * torch.randn(encoder.dim))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the same in bits per channel, and how often the likeliest code is right."""
        codes = self.encoder.codes(batch.inputs)
        if self.encoder.causal:
            vectors, valid = self.before_each(codes), torch.ones_like(codes, dtype=torch.bool)
        else:
            hidden, sequence = self.filled_in(batch, codes)
            vectors, codes, valid = hidden.at(sequence), hidden.at(codes), hidden.valid
        (loss, nats), likeliest, _ = token_loss(vectors, self.head.weight, None, codes, valid)
        bits = nats / (math.log(2) * self.encoder.channels)
        return {"loss": loss, "bits_per_dim": bits, "accuracy": global_mean(likeliest == codes, valid).value}

    def before_each(self, codes: Tensor) -> Tensor:
        """The vectors ``(B, N, D)`` that codes ``(B, N)`` are predicted from: each of what stands before it."""
        encoded = self.encoder.contextualize(self.encoder.embed_codes(codes[:, :-1]))
        assert encoded.prefix is not None, "a token in front of all is what predicts the first"
        return torch.cat([encoded.prefix, encoded.sequence], dim=1)

    def filled_in(self, batch: Batch, codes: Tensor) -> tuple[Hidden, Tensor]:
        """Which pixels are hidden, and the vectors of all ``(B, N, D)``."""
        everywhere = torch.ones_like(codes, dtype=torch.bool)
        hidden = self.hiding(everywhere, fold_in(self.keys(batch), HIDING))
        embedded = hidden.replace(self.encoder.embed_codes(codes), self.mask_vector)
        return hidden, self.encoder.contextualize(embedded).sequence

    def encode(self, batch: Batch, layers: bool = False) -> Encoded:
        """As of every method; pooled is the mean over the pixels of the feature layer."""
        encoded = self.encoder(batch.inputs, batch.mask, layers=True)
        pooled = mean_over_places(encoded.layers[self.feature_layer][:, self.encoder.prefix :], None)
        return encoded._replace(pooled=pooled, layers=encoded.layers if layers else ())

    def chance_loss(self, batch_size: int) -> float:
        """The log of the palette's size, every colour being equally likely."""
        return math.log(len(self.encoder.palette))

    @torch.no_grad()
    def draw(self, begun: Tensor, keys: Tensor) -> Tensor:
        """Goes on with images, a pixel at a time.

        Args:
            begun: ``(B, K)`` int64, codes of the first pixels.
            keys: ``(B,)`` int64, one per image; what is drawn depends on its key and on its beginning alone.

        Returns:
            ``(B, N)`` int64, codes of whole images.
        """
        total = self.encoder.side**2
        written = torch.cat([begun, begun.new_zeros(len(begun), total - begun.shape[1])], dim=1)
        for place in range(begun.shape[1], total):
            logits = self.head(self.before_each(written[:, : place + 1])[:, -1]).float()
            if self.temperature > 0:  # the highest of logits plus Gumbel noise is a draw from their softmax
                logits = logits / self.temperature + gumbel(fold_in(keys, place), logits.shape[1])
            written[:, place] = logits.argmax(1)
        return written

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Completions of lower halves and new images; of an encoder that is not causal, hidden pixels filled in."""
        codes, keys, show = self.encoder.codes(batch.inputs), fold_in(self.keys(batch), DRAWING), self.encoder.images
        true = show(codes)
        if not self.encoder.causal:
            hidden, sequence = self.filled_in(batch, codes)
            is_hidden = hidden.mask[:, None].unflatten(2, (self.encoder.side, self.encoder.side)).float()
            grey = nn.functional.interpolate(is_hidden, true.shape[2:]) > 0
            made = show(torch.where(hidden.mask, self.head(sequence).argmax(2), codes))
            rows = [true, true.masked_fill(grey, 0.5), made]
            return {"reconstructions": (torch.cat(rows), len(codes), ["inputs", "hidden", "filled in"])}
        begun = codes[:, : self.encoder.side // 2 * self.encoder.side]
        upper = true.clone()
        upper[:, :, self.encoder.side // 2 * self.encoder.stride :] = 0.5
        completed = torch.cat([true, upper, show(self.draw(begun, keys))])
        return {
            "completions": (completed, len(codes), ["inputs", "upper half", "completed"]),
            "samples": (show(self.draw(codes[:, :0], keys)), len(codes)),
        }
