"""SimMIM: parts of an image or of speech are hidden, and one linear layer predicts them as they are."""

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.requirements import require_both_sides, require_contents, require_maskable
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.prediction_error import absolute_error
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, nothing_explained
from ssl_zoo.parts.reconstructions import reconstructions
from ssl_zoo.targets.contents import own_scale, require_scale


class SimMIM(Method):
    """A simple framework for masked image modeling (Xie et al., 2021, arXiv:2111.09886, section 3); on speech, too.

    With H the hidden places of the global batch, drawn anew at every step, x~ the input with one learnt vector at them,
    and W the only layer of the head:

        loss = mean over the places h in H and their numbers of |W e(x~)_h + b - x_h|

    x_h are the pixels of a patch in [0, 1], or the log-mel energies that a place of speech covers, as they are or, as
    an option of the published code has it, each place's with zero mean and unit variance. Other than in MAE the encoder
    does all the work, and sees every place: a step costs what one of supervised training does, and any encoder whose
    vectors can be replaced will do.

    Where a front end's frames overlap, as those of strided convolutions do, a visible one shows a part of a hidden
    neighbour; `LogMel` without strides, with `stack`, has none that do.

    Watch `train/explained`, the part of the hidden places' deviation that is predicted; 0 for their mean.
    figures/reconstructions.png shows inputs, what is visible of them, and how the rest is filled in.

    Args:
        encoder: The network to pretrain, a bidirectional transformer of images or of speech.
        masking: What is hidden. None takes, of patches, the paper's 0.6 in single ones, and of frames of speech spans
            of 10 (wav2vec 2.0's).
        normalize_targets: Whether what is predicted of each place is normalised by itself.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or reads text, or its vectors cannot be replaced.
    """

    both_sides = True

    def __init__(
        self,
        encoder: Encoder,
        masking: Masking | None = None,
        normalize_targets: bool = False,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_maskable(encoder, "SimMIM")
        require_contents(encoder, "SimMIM")
        if normalize_targets:
            require_scale(encoder.content_dim, "SimMIM")
        require_both_sides(encoder, "SimMIM")
        usual = RandomPlaces(0.6) if encoder.in_plane else RandomSpans()
        self.masking = usual if masking is None else masking
        self.normalize_targets = normalize_targets
        self.mask_vector = nn.Parameter(0.02 * torch.randn(encoder.dim))
        self.head = nn.Linear(encoder.dim, encoder.content_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the part of the hidden places' deviation that is predicted."""
        contents, hidden, predicted = self.fill_in(batch)
        targets = hidden.at(contents)
        if self.normalize_targets:
            mean, std = own_scale(targets)
            targets = (targets - mean) / std
        loss, explained = absolute_error(predicted, targets, hidden.valid[..., None])
        return {"loss": loss, "explained": explained}

    def fill_in(self, batch: Batch) -> tuple[Tensor, Hidden, Tensor]:
        """What is at all places ``(B, N, P)``, which of them are hidden, and their prediction ``(B, K, P)``."""
        embedded = self.encoder.embed(batch.inputs, batch.mask)
        real, grid = all_real(embedded.vectors, embedded.mask), self.encoder.grid(batch.inputs)
        hidden = self.masking(real, self.keys(batch), grid)
        encoded = self.encoder.contextualize(hidden.replace(embedded, self.mask_vector))
        contents = self.encoder.contents(batch.inputs, batch.mask)
        return contents, hidden, self.head(hidden.at(encoded.sequence)).float()

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Inputs, what is visible of them, and how the rest is filled in."""
        contents, hidden, predicted = self.fill_in(batch)
        if self.normalize_targets:  # a place's own mean and spread are not predicted: they are the true ones
            mean, std = own_scale(hidden.at(contents))
            predicted = predicted * std + mean
        return {**reconstructions(self.encoder, batch.inputs, contents, hidden.mask, hidden.put(contents, predicted))}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Predictions that are no better than the mean."""
        return [*super().alarms(batch_size), nothing_explained()]
