"""MAE: most patches of an image or a spectrogram are left out, and a small decoder fills them in."""

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import KeptPlaces
from ssl_zoo.decoders.sequence import SequenceDecoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.positions import fixed_positions
from ssl_zoo.encoders.requirements import require_contents, require_droppable
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.prediction_error import squared_error
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, nothing_explained
from ssl_zoo.parts.reconstructions import reconstructions
from ssl_zoo.targets.contents import own_scale, require_scale


class MAE(Method):
    """Masked autoencoders (He et al., 2021, arXiv:2111.06377, section 3); on spectrograms AudioMAE (arXiv:2207.06405).

    With H the hidden patches of the global batch, drawn anew at every step, and d(e(x_visible)) what a light decoder
    makes of the encoder's vectors of the visible patches, of one mask vector at every hidden place, and of fixed
    positions:

        loss = mean over the patches h in H and their numbers of (d(e(x_visible))_h - x_h)^2

    The encoder never sees what is hidden, nor a mask vector, so that it costs a quarter of what it does on the whole
    input. A patch x_h is its pixels in [0, 1], or its log-mel energies. Each is brought to zero mean and unit
    (unbiased) variance of its own, which gives a better representation, or left as it is. Nothing trains the class
    token of an encoder to be pooled: let it pool the mean.

    Watch `train/explained`, the part of the hidden patches' variance that is predicted; 0 for their mean patch.
    figures/reconstructions.png shows inputs, what is visible of them, and how the rest is filled in.

    Args:
        encoder: The network to pretrain, a transformer of images or of speech.
        masking: What is hidden. None hides as many single patches as the papers, 0.75 of those of an image and 0.8 of
            those of a spectrogram; small images may want less.
        normalize_targets: Whether each patch that is predicted is normalised by itself.
        decoder_dim: Size of the decoder's vectors, a multiple of 4 and of `decoder_heads`.
        decoder_depth: Transformer layers of the decoder.
        decoder_heads: Attention heads of the decoder.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads text or needs all places, or the decoder's sizes do not fit each other.
    """

    def __init__(
        self,
        encoder: Encoder,
        masking: Masking | None = None,
        normalize_targets: bool = True,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_droppable(encoder, "MAE")
        require_contents(encoder, "MAE")
        if normalize_targets:
            require_scale(encoder.content_dim, "MAE")
        self.masking = KeptPlaces(0.8 if encoder.modality == "audio" else 0.75) if masking is None else masking
        self.normalize_targets = normalize_targets
        self.patch_decoder = SequenceDecoder(
            encoder.dim, encoder.content_dim, decoder_dim, decoder_depth, decoder_heads
        )

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the part of the hidden patches' variance that is predicted."""
        contents, hidden, predicted = self.fill_in(batch)
        targets = hidden.at(contents)
        if self.normalize_targets:
            mean, std = own_scale(targets)
            targets = (targets - mean) / std
        loss, explained = squared_error(predicted, targets, hidden.valid[..., None])
        return {"loss": loss, "explained": explained}

    def fill_in(self, batch: Batch) -> tuple[Tensor, Hidden, Tensor]:
        """What is at all places ``(B, N, P)``, which of them are hidden, and their prediction ``(B, K, P)``."""
        embedded = self.encoder.embed(batch.inputs, batch.mask)
        places, grid = embedded.vectors.shape[1], self.encoder.grid(batch.inputs)
        hidden = self.masking(all_real(embedded.vectors, embedded.mask), self.keys(batch), grid)
        visible, left = hidden.visible(embedded.mask, self.masking.left(places))
        encoded = self.encoder.contextualize(embedded.at(visible, left), places=visible)
        positions = fixed_positions(grid, places, self.patch_decoder.dim).to(visible.device)
        predicted = self.patch_decoder(encoded, visible, hidden.positions, positions, embedded.mask)
        return self.encoder.contents(batch.inputs, batch.mask), hidden, predicted.float()

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Inputs, what is visible of them, and how the rest is filled in."""
        contents, hidden, predicted = self.fill_in(batch)
        if self.normalize_targets:  # a patch's own mean and spread are not predicted: they are the true ones
            mean, std = own_scale(hidden.at(contents))
            predicted = predicted * std + mean
        filled_in = hidden.put(contents, predicted)
        return {**reconstructions(self.encoder, batch.inputs, contents, hidden.mask, filled_in)}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Predictions that are no better than the mean patch."""
        return [*super().alarms(batch_size), nothing_explained()]
