"""I-JEPA: what a slowly moving copy of the encoder makes of some blocks is predicted from the rest of the input."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.corruption.target_blocks import Blocks, TargetBlocks
from ssl_zoo.decoders.predictor import PlacePredictor
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.positions import fixed_positions
from ssl_zoo.encoders.requirements import require_droppable
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.objectives.prediction_error import squared_error
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, constant_places
from ssl_zoo.parts.spread import global_std
from ssl_zoo.parts.teacher import Teacher, linear_momentum
from ssl_zoo.randomness import fold_in

HIDING = 1  # what an example's keys are folded with
COLLAPSED = 0.05  # spread of the targets, of which normalised vectors that have nothing in common have 1


class Prediction(NamedTuple):
    """What is predicted of a batch.

    Attributes:
        blocks: the places of M blocks and of the context that they are predicted from.
        predicted: ``(B, M, T, D)`` float32.
        targets: ``(B, M, T, D)`` float32, what the teacher makes of the whole input there.
    """

    blocks: Blocks
    predicted: Tensor
    targets: Tensor


class IJEPA(Method):
    """Image-based joint-embedding predictive architecture (Assran et al., 2023, arXiv:2301.08243, section 3).

    With C the places of the context, B_1 ... B_M blocks outside of it, drawn anew for every example, e' a copy of the
    encoder e that sees the whole input, LN a norm without parameters, and g a narrow predictor that is given the
    places of one block at a time:

        loss = mean over the blocks B_i, their places j and all dimensions of h(g(e(x_C), B_i)_j - LN(e'(x)_j))

    with h(d) = d^2 / 2 for |d| < 1, else |d| - 1/2, as in the published code. The copy follows the encoder: e' <-
    m e' + (1 - m) e after every step, m rising from `momentum` to 1 along a line over the run. It works without
    dropout, no gradient reaches it, and it is the network that is evaluated and continued from. Nothing is
    reconstructed and no views are needed. Nothing trains the class token to be pooled: let the encoder pool the mean.

    Blocks are rectangles of patches and, where places lie in a line as frames do, spans. Unlike those of the published
    code they may touch the last row and column, and nothing that is left out of a context is chosen by where it stands.

    Watch `train/target_std`, the spread of the targets (0 when all are alike, about 1 when they have nothing in
    common), and `health/rank`: the loss falls while a network collapses, too. `train/explained` is the part of the
    targets' variance that is predicted.

    Args:
        encoder: The network to pretrain, a transformer of images or of speech.
        targets: Number of blocks to predict.
        target_scale: Least and largest part of the input that a block covers.
        target_aspect: Least and largest ratio of a block's height to its width, as parts of the input's; of the
            context's block, too.
        context_scale: Least and largest part of the input that the context's block covers, before the others are cut
            out of it.
        most_seen: Part of the input that the context may have at most; where it has more, some of its places are left
            out at random, which makes a step cheaper.
        predictor_dim: Size of the predictor's vectors, a multiple of 4 and of `predictor_heads`.
        predictor_depth: Transformer layers of the predictor.
        predictor_heads: Attention heads of the predictor.
        momentum: Momentum of the copy at the start, m, which rises to 1; the paper takes 0.996 over 300 epochs and
            more, shorter runs need less.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads text or needs all places, or blocks could cover everything.
    """

    evaluated = "teacher.module"

    def __init__(
        self,
        encoder: Encoder,
        targets: int = 4,
        target_scale: tuple[float, float] = (0.15, 0.2),
        target_aspect: tuple[float, float] = (0.75, 1.5),
        context_scale: tuple[float, float] = (0.85, 1.0),
        most_seen: float = 1.0,
        predictor_dim: int = 384,
        predictor_depth: int = 6,
        predictor_heads: int = 12,
        momentum: float = 0.996,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_droppable(encoder, "I-JEPA")
        if encoder.modality == "text":
            raise InputError(
                f"I-JEPA predicts blocks of patches or frames, which {type(encoder).__name__} does not read: take ViT "
                "for images or Wav2Vec2Encoder for speech, and for text BERT."
            )
        self.drawn = TargetBlocks(targets, target_scale, target_aspect, context_scale, most_seen)
        self.predictor = PlacePredictor(encoder.dim, encoder.dim, predictor_dim, predictor_depth, predictor_heads)
        self.teacher = Teacher(encoder, partial(linear_momentum, momentum, 1.0, 1.0), eval_mode=True)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the targets' spread, and the part of their variance that is predicted."""
        blocks, predicted, targets = self.predict(batch)
        real = blocks.targets_real
        loss = global_mean(F.smooth_l1_loss(predicted, targets, reduction="none").mean(-1), real).share
        guesses, truth, counted = (each.detach().flatten(1, 2) for each in (predicted, targets, real))
        _, explained = squared_error(guesses, truth, counted[..., None])
        return {"loss": loss, "target_std": global_std(truth, counted), "explained": explained}

    def predict(self, batch: Batch) -> Prediction:
        """The blocks of a batch, as they are predicted and as they are."""
        embedded = self.encoder.embed(batch.inputs, batch.mask)
        grid, places = self.encoder.grid(batch.inputs), embedded.vectors.shape[1]
        real, keys = all_real(embedded.vectors, embedded.mask), fold_in(self.keys(batch), HIDING)
        blocks = self.drawn(real, keys, grid, padded=embedded.mask is not None)
        whole = self.teacher(batch.inputs, batch.mask).sequence.float()
        normalised = F.layer_norm(whole, whole.shape[-1:])
        targets = torch.take_along_dim(normalised[:, None], blocks.targets[..., None], dim=2)
        known, wanted = (None, None) if blocks.whole else (blocks.context_real, blocks.targets_real)
        seen = self.encoder.contextualize(embedded.at(blocks.context, known), places=blocks.context)
        positions = fixed_positions(grid, places, self.predictor.dim).to(whole.device)
        predicted = self.predictor(seen.sequence, blocks.context, blocks.targets, positions, known, wanted)
        return Prediction(blocks, predicted.float(), targets)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Collapsed targets, too."""
        advice = "Lower the learning rate or raise momentum."
        collapsed = constant_places(f"{metrics.TRAIN}/target_std", "targets", advice, below=COLLAPSED)
        return [*super().alarms(batch_size), collapsed]
