"""wav2vec: future frames are identified among others of the same recording."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.frame_negatives import candidate_logits, draw_candidates, first_is_best
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.randomness import fold_in
from ssl_zoo.targets.frames import frames_ahead
from ssl_zoo.views.base import require_at_least

# What an example's keys are folded with.
NEGATIVES = 1


class Wav2Vec(Method):
    """wav2vec (Schneider et al., 2019, arXiv:1904.05862), with the loss of CPC (arXiv:1807.03748) as an option.

    With z the front end's normalised frames, c the vectors of a causal encoder, and h_k a linear layer of each step k:

        s_k(i, j) = z_j . h_k(c_i) / sqrt(dim of z),    the positive being j = i + offset + k,  k = 0 ... steps - 1

    and j' `negatives` other frames of the same recording, the loss is the mean over all i and k in the global batch of

        binary:   -log sigmoid(s_k(i, j)) - sum over j' of log sigmoid(-s_k(i, j'))                    (wav2vec)
        infonce:  -log  exp(s_k(i, j))  /  (exp(s_k(i, j)) + sum over j' of exp(s_k(i, j')))           (CPC)

    The papers do not divide by the root; it lets training start near chance whatever the size of z. Negatives are drawn
    uniformly, the positive never being among them.

    Watch `train/accuracy`, how often the true frame is the nearest, against 1 in `negatives` + 1. Steps further ahead
    are harder and teach more about words and speakers, the nearest ones about sounds.

    Args:
        encoder: The network to pretrain; causal, of frames.
        steps: How many steps ahead are predicted.
        negatives: Number of negatives for every frame and step.
        loss: Form of the contrast: `binary` is wav2vec's, `infonce` CPC's.
        offset: Frames from a vector to the first one that it predicts. None takes the first frame whose window of
            samples begins after that of the vector's own frame has ended, as wav2vec's published code does: those
            before it overlap with what the encoder has seen, and could be predicted by copying. 1 is CPC's.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is not causal or has no frames, an argument is out of its range, or recordings are too
            short to see a frame and predict another.
    """

    encoder: AudioEncoder

    def __init__(
        self,
        encoder: AudioEncoder,
        steps: int = 12,
        negatives: int = 10,
        loss: Literal["binary", "infonce"] = "binary",
        offset: int | None = None,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, AudioEncoder) or not encoder.causal:
            raise InputError(
                f"{type(self).__name__} predicts frames from those before them and needs a causal encoder of frames of "
                f"speech, which {type(encoder).__name__} is not: take CausalConvEncoder or GRUEncoder."
            )
        front_end = encoder.front_end
        self.offset = math.ceil(front_end.receptive_field / front_end.stride) if offset is None else offset
        for name, value in {"steps": steps, "negatives": negatives, "offset": self.offset}.items():
            require_at_least(name, value, 1)
        self.steps, self.negatives, self.infonce = steps, negatives, loss == "infonce"
        self.predictors = nn.Linear(encoder.dim, steps * front_end.dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how often the true frame is the nearest."""
        features, mask = self.encoder.front_end(batch.inputs, batch.mask)
        return self.contrast(features, mask, self.keys(batch))

    def contrast(self, features: Tensor, mask: Tensor | None, keys: Tensor) -> dict[str, Tensor]:
        """The same of the front end's frames ``(B, N, C)``, their mask ``(B, N)`` or None, and keys ``(B,)``."""
        targets = self.encoder.feature_norm(features)
        frames = targets.shape[1] - self.offset  # the others have nothing to predict
        if frames < 1:
            raise InputError(
                f"{type(self).__name__} predicts the frame {self.offset} ahead, and the longest recording of a batch "
                f"has {targets.shape[1]} frames: raise data.crop_seconds or lower offset."
            )
        context = self.encoder.contextualize(self.encoder.embed_frames(targets, mask)).sequence[:, :frames]
        queries = self.predictors(context).unflatten(2, (self.steps, -1)).flatten(1, 2) / targets.shape[2] ** 0.5

        counts = all_real(features, mask).sum(1)
        positives, valid = frames_ahead(counts, frames, self.offset, self.steps)
        candidates = draw_candidates(positives, counts, self.negatives, fold_in(keys, NEGATIVES))
        logits = candidate_logits(queries, targets, candidates)
        loss = global_mean(self._nats(logits), valid).share
        return {"loss": loss, "accuracy": global_mean(first_is_best(logits.detach()), valid).value}

    def _nats(self, logits: Tensor) -> Tensor:
        """``(B, P)``, the loss of every prediction, from the logits ``(B, P, 1 + M)`` of its candidates."""
        if self.infonce:
            return token_nats(logits, torch.zeros(logits.shape[:2], dtype=torch.int64, device=logits.device))
        return F.softplus(-logits[..., 0]) + F.softplus(logits[..., 1:]).sum(2)

    def chance_loss(self, batch_size: int) -> float:
        """With M negatives log(M + 1), and for the binary loss what the best constant gives: M log(1 + 1/M) more."""
        infonce = math.log(self.negatives + 1)
        return infonce if self.infonce else infonce + self.negatives * math.log1p(1 / self.negatives)
