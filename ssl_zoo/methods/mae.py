"""MAE: most patches of an image are left out, and a small decoder fills them in."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.sequence import SequenceDecoder
from ssl_zoo.encoders.base import Encoder, require_droppable
from ssl_zoo.encoders.positions import sine_cosine_positions
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.optim import Optimizer
from ssl_zoo.randomness import fold_in, uniform

HIDING = 1  # what an example's keys are folded with
GREY = 0.5  # what is hidden in pictures


class MAE(Method):
    """Masked autoencoders (He et al., 2021, arXiv:2111.06377, section 3).

    With H the hidden patches, drawn anew for every image, and d(e(x_visible)) what a light decoder makes of the
    encoder's vectors of the visible patches, of one mask vector at every hidden place, and of fixed positions:

        loss = mean over the patches h in H and their pixels of (d(e(x_visible))_h - x_h)^2

    The encoder never sees what is hidden, nor a mask vector, so that it costs a quarter of what it does on the whole
    image. Each patch x_h is brought to zero mean and unit (unbiased) variance of its own, which gives a better
    representation, or left as pixels in [0, 1]. Nothing trains the class token to be pooled: let the encoder pool the
    mean.

    Watch `train/explained`, the part of the hidden patches' variance that is predicted; 0 for their mean patch.

    Args:
        encoder: The network to pretrain, a transformer of images.
        mask_ratio: Part of the patches that is hidden; 0.75 is the paper's, small images may want less.
        normalize_targets: Whether each patch that is predicted is normalised by itself.
        decoder_dim: Size of the decoder's vectors, a multiple of 4 and of `decoder_heads`.
        decoder_depth: Transformer layers of the decoder.
        decoder_heads: Attention heads of the decoder.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads no images or needs all patches, or `mask_ratio` hides none or all of a square.
    """

    def __init__(
        self,
        encoder: Encoder,
        mask_ratio: float = 0.75,
        normalize_targets: bool = True,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_droppable(encoder, "MAE")
        if encoder.modality != "image":
            raise InputError(f"MAE fills in patches of images, which {type(encoder).__name__} does not read: take ViT.")
        if not 0 < mask_ratio < 1:
            raise InputError(f"MAE: mask_ratio is {mask_ratio}; set it between 0 and 1, to hide some patches, not all.")
        self.mask_ratio, self.normalize_targets = mask_ratio, normalize_targets
        pixels = encoder.channels * encoder.stride**2
        self.patch_decoder = SequenceDecoder(encoder.dim, pixels, decoder_dim, decoder_depth, decoder_heads)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the part of the hidden patches' variance that is predicted."""
        targets, hidden, predicted = self.fill_in(batch)
        targets = torch.take_along_dim(targets, hidden[..., None], dim=1)
        if self.normalize_targets:
            mean, std = _statistics(targets)
            targets = (targets - mean) / std
        loss = F.mse_loss(predicted, targets)
        variance = (targets - targets.mean((0, 1))).square().mean()
        return {"loss": loss, "explained": 1 - loss.detach() / variance.clamp_min(1e-6)}

    def fill_in(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """All patches ``(B, N, P)`` in [0, 1], the places hidden ``(B, M)``, and their prediction ``(B, M, P)``."""
        patches = _patches(batch.inputs, self.encoder.stride)
        count, side = patches.shape[1], math.isqrt(patches.shape[1])
        visible_count = int(count * (1 - self.mask_ratio))
        if side**2 != count or not 0 < visible_count < count:
            raise InputError(
                f"MAE hides {self.mask_ratio} of a square of patches but these images have {count} patches: set the "
                "model's mask_ratio and the encoder's patch_size so that some are hidden and some are not."
            )
        order = uniform(fold_in(self.keys(batch), HIDING), count).argsort(1)
        visible, hidden = (part.sort(1).values for part in (order[:, :visible_count], order[:, visible_count:]))
        embedded = self.encoder.embed(batch.inputs, batch.mask).at(visible)
        encoded = self.encoder.contextualize(embedded, places=visible)
        positions = sine_cosine_positions(side, self.patch_decoder.dim)[0, 1:].to(patches.device)
        return patches, hidden, self.patch_decoder(encoded, visible, hidden, positions).float()

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """By name, images ``(3 B, C, H, W)`` in [0, 1], how many make a row, and the rows: as is, hidden, filled in."""
        patches, hidden, predicted = self.fill_in(batch)
        if self.normalize_targets:  # a patch's own mean and spread are not predicted: they are the true ones
            mean, std = _statistics(torch.take_along_dim(patches, hidden[..., None], dim=1))
            predicted = predicted * std + mean
        places, size = hidden[..., None].expand_as(predicted), batch.inputs.shape[2:]
        rows = [patches, patches.scatter(1, places, GREY), patches.scatter(1, places, predicted.clamp(0, 1))]
        images = F.fold(torch.cat(rows).transpose(1, 2), size, self.encoder.stride, stride=self.encoder.stride)
        return {"reconstructions": (images, len(patches), ["inputs", "hidden", "filled in"])}


def _patches(images: Tensor, side: int) -> Tensor:
    """Patches ``(B, N, C * side * side)`` in [0, 1], row by row, of images ``(B, C, H, W)``, uint8 or in [0, 1]."""
    floats = images if images.is_floating_point() else images / 255
    return F.unfold(floats, side, stride=side).transpose(1, 2)


def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(B, M, 1)`` of every patch's pixels."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return mean, (variance + 1e-6).sqrt()
