"""Super-resolution as a pretext task: a network sees coarse images and predicts what they are in detail."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.code_maps import MapDecoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import AT_CHANCE, Alarm
from ssl_zoo.parts.pretext import require_images, unit_images
from ssl_zoo.views.base import Views, require_at_least

OF_BICUBIC = "train/of_bicubic"


class SuperResolution(Method):
    """Predicts images from coarse copies of them (Dong et al., 2014, arXiv:1501.00092), to learn a representation.

    With s an image of which every `factor` x `factor` pixels have become their mean, and which bicubic interpolation
    has made as large as x again, e the encoder, and d a decoder of the encoder's map, which fills in what s lacks:

        loss = mean over images and pixels of |s + d(e(s)) - x|

    What the paper's network does without, a coarse map of wide vectors, is what a representation is made of: an
    encoder that is to say in a few vectors what an image lacks must know what is on it.

    Probes see vectors of images as they are. Watch `train/psnr`, the peak signal-to-noise ratio in decibels, against
    `train/bicubic_psnr`, that of s itself, and `train/of_bicubic`, the loss over that of s: 1 where nothing is learnt.
    figures/details.png shows images as the encoder sees them, with predicted details, and as they are.

    Args:
        encoder: The network to pretrain, of images.
        views: Changes every image before it is made coarse, such as crops and mirror images; None takes images as they
            are.
        factor: How many times as large the images are that are predicted, along a side; it must divide theirs.
        decoder_dim: Channels of the decoder at the encoder's resolution; every doubling halves them.
        decoder_depth: Residual blocks of the decoder.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads no images, `factor` does not divide their sides, or an argument is out of its
            range.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views | None = None,
        factor: int = 4,
        decoder_dim: int = 128,
        decoder_depth: int = 2,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_images(encoder, "SuperResolution", "predicts images in detail")
        require_at_least("factor", factor, 2)
        self.views, self.factor = views, factor
        self.map_decoder = MapDecoder(encoder.dim, encoder.channels, encoder.stride, decoder_dim, decoder_depth)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, what part of bicubic interpolation's it is, and the peak signal-to-noise ratios of both."""
        images = unit_images(batch.inputs if self.views is None else self.make_views(batch).inputs)
        coarse = self.coarse(images)
        detailed = self.detailed(coarse)
        loss = (detailed - images).abs().mean()
        return {
            "loss": loss,
            "of_bicubic": loss.detach() / (coarse - images).abs().mean().clamp_min(1e-8),
            "psnr": psnr(detailed.detach().clamp(0, 1), images),
            "bicubic_psnr": psnr(coarse.clamp(0, 1), images),
        }

    def coarse(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` float32 without their details, as large as they were.

        Raises:
            InputError: `factor` does not divide the sides of images.
        """
        height, width = images.shape[2:]
        if height % self.factor or width % self.factor:
            raise InputError(
                f"SuperResolution: images of {height} x {width} pixels are not cut evenly by factor {self.factor}; "
                "set factor, or data.image_size, so that it divides."
            )
        return F.interpolate(F.avg_pool2d(images, self.factor), images.shape[2:], mode="bicubic")

    def detailed(self, coarse: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` float32 with the details that are predicted for coarse ones of this size."""
        height, width = coarse.shape[2:]
        # Where the stride does not divide a side, maps reach beyond the image.
        rows, columns = (math.ceil(side / self.encoder.stride) for side in (height, width))
        vectors = self.encoder(coarse).sequence
        if vectors.shape[1] != rows * columns:
            raise InputError(
                f"SuperResolution needs a map of {rows} x {columns} places of these images, and "
                f"{type(self.encoder).__name__} has {vectors.shape[1]} places: set data.image_size so that its stride "
                f"of {self.encoder.stride} pixels divides it."
            )
        details = self.map_decoder(vectors.transpose(1, 2).unflatten(2, (rows, columns)))
        return coarse + details[:, :, :height, :width].float()

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Details that are no better than none."""
        sentence = (
            f"Predicted details are no better than none: the loss is {{{OF_BICUBIC}:.3f}} of that of bicubic "
            "interpolation. Look at the learning rate, and at whether images have details at all."
        )
        return [*super().alarms(batch_size), Alarm(OF_BICUBIC, sentence, above=AT_CHANCE)]

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Images as the encoder sees them, with predicted details, and as they are."""
        images = unit_images(batch.inputs)
        coarse = self.coarse(images)
        rows = torch.cat([coarse.clamp(0, 1), self.detailed(coarse).clamp(0, 1), images])
        return {"details": (rows, len(images), ["coarse", "with details", "as they are"])}


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Scalar, the mean over images of their peak signal-to-noise ratio in decibels, at most 80.

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        targets: the same shape, in [0, 1].
    """
    errors = (images - targets).square().flatten(1).mean(1)
    return -10 * errors.clamp_min(1e-8).log10().mean()
