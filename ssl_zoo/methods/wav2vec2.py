"""wav2vec 2.0: spans of speech are hidden, and each hidden frame is identified among others of the same recording."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.frame_negatives import cosine_logits, draw_candidates, equal_to_positive, first_is_best
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_representation, loss_at_chance
from ssl_zoo.parts.codebooks import GumbelQuantizer, decayed_temperature
from ssl_zoo.randomness import fold_in
from ssl_zoo.targets.frames import hidden_frames
from ssl_zoo.views.base import require_at_least, require_positive, require_probability, require_range

# What an example's keys are folded with, so that its draws are independent of each other.
MASKING, NEGATIVES, NOISE = 1, 2, 3
# Share of the negatives that may be the same vector as the positive. With one code in use it is 1; with few codes,
# which is normal at the start of a run, a small part.
TOO_MANY_EQUAL = 0.5


class Wav2Vec2(Method):
    """Self-supervised learning of speech representations (wav2vec 2.0, Baevski et al., 2020, arXiv:2006.11477).

    The front end makes frames z of a waveform. Spans of them are replaced by one learnt vector, and c are the encoder's
    vectors of what is left. The targets q are the frames as they were, normalised and put into codes. With M the hidden
    frames of the global batch and, for each of them, Q_i its own target and `negatives` ones drawn from the other
    hidden frames of the same recording (equation 3):

        loss = mean over i in M of -log  exp(cos(c_i, q_i) / t)  /  sum over q in Q_i of exp(cos(c_i, q) / t)
               + diversity_weight * (G V - sum over g of exp H(p_g)) / (G V)  +  feature_penalty * mean of z^2

    A negative with the same code as the positive is left out of the sum. c and q are linear projections to `code_dim`.
    p_g are the mean probabilities of group g's entries over M. The paper names the first two terms (equations 2 and 4);
    the third, and the smaller gradient into the front end, are in its published code.

    Watch `train/accuracy`, how often a frame's own target is the nearest, against 1 in `negatives` + 1;
    `train/contrastive`, the first term, against log(negatives + 1); and `train/code_perplexity`, among how many codes
    the targets waver. It is low at first, in long runs for thousands of steps. When it falls to G and
    `train/equal_negatives` rises to 1 while accuracy does, all targets have become one code and nothing is learnt.

    Args:
        encoder: The network to pretrain; bidirectional, of frames.
        mask_ratio: Part of the frames to hide if spans did not overlap; 0.65 hides about half of them.
        mask_length: Frames of a span; 10 are the paper's 0.2 s at its 50 frames a second.
        negatives: Number of negatives for every hidden frame.
        temperature: What cosines are divided by, t.
        targets: What is predicted: `quantized` is the paper's; `continuous` leaves the codes out (its table 4), and
            nothing can collapse.
        groups: Number of codebooks, G.
        entries: Number of entries of each codebook, V.
        code_dim: Size of codes and of the space in which they are compared; a multiple of `groups`.
        diversity_weight: Weight of the penalty on codes left unused.
        feature_penalty: Weight of the penalty on the frames' squared size. None takes the published code's: 10 for a
            front end whose last layer has no norm, as in the paper's base model (`norm: group`), and 0 for one that
            has, as in its large one, where 10 would be half the loss. A front end without weights has no penalty.
        front_end_gradient: Factor of the gradient that reaches the front end.
        gumbel_temperature: Temperature of the quantizer's Gumbel softmax, at the start and at the end of its decay.
        gumbel_decay: Part of the run over which the quantizer's temperature decays, exponentially.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or has no frames, or an argument is out of its range.
    """

    encoder: AudioEncoder

    def __init__(
        self,
        encoder: AudioEncoder,
        mask_ratio: float = 0.65,
        mask_length: int = 10,
        negatives: int = 100,
        temperature: float = 0.1,
        targets: Literal["quantized", "continuous"] = "quantized",
        groups: int = 2,
        entries: int = 320,
        code_dim: int = 256,
        diversity_weight: float = 0.1,
        feature_penalty: float | None = None,
        front_end_gradient: float = 0.1,
        gumbel_temperature: tuple[float, float] = (2.0, 0.5),
        gumbel_decay: float = 0.7,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, AudioEncoder) or encoder.causal:
            raise InputError(
                "Wav2Vec2 predicts hidden frames from both sides and needs a bidirectional encoder of frames of "
                f"speech, which {type(encoder).__name__} is not: take Wav2Vec2Encoder."
            )
        require_at_least("negatives", negatives, 1)
        require_positive("temperature", temperature)
        require_range("gumbel_temperature", (gumbel_temperature[1], gumbel_temperature[0]))
        require_probability("gumbel_decay", gumbel_decay)
        self.masking = RandomSpans(mask_ratio, mask_length)
        self.negatives, self.temperature = negatives, temperature
        if feature_penalty is None:
            feature_penalty = 0.0 if encoder.front_end.ends_with_norm else 10.0
        self.diversity_weight, self.feature_penalty = diversity_weight, feature_penalty
        self.front_end_gradient = front_end_gradient
        self.gumbel_temperature, self.gumbel_decay = gumbel_temperature, gumbel_decay
        self.mask_vector = nn.Parameter(torch.rand(encoder.dim))
        self.quantizer: GumbelQuantizer | None = None
        if targets == "quantized":
            self.quantizer = GumbelQuantizer(encoder.front_end.dim, groups, entries, code_dim)
        self.target_head = nn.Linear(encoder.front_end.dim if self.quantizer is None else code_dim, code_dim)
        self.context_head = nn.Linear(encoder.dim, code_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, its terms, how often a frame's own target is the nearest, and how codes are used."""
        keys = self.keys(batch)
        features, mask = self.encoder.front_end(batch.inputs, batch.mask)
        if features.requires_grad:
            features.register_hook(lambda gradient: gradient * self.front_end_gradient)
        frames, real = self.encoder.feature_norm(features), all_real(features, mask)
        hidden = self.masking(real, fold_in(keys, MASKING))
        shown = hidden.replace(self.encoder.embed_frames(frames, mask), self.mask_vector)
        queries = self.context_head(hidden.at(self.encoder.contextualize(shown).sequence))
        targets, terms = hidden_frames(
            hidden.at(frames), hidden.valid, self.quantizer, fold_in(keys, NOISE), self.quantizer_temperature
        )
        loss, contrast = self._contrast(queries, targets, hidden.valid, fold_in(keys, NEGATIVES))
        terms |= contrast
        if self.quantizer is not None:
            loss = loss + self.diversity_weight * terms["diversity"]
        if any(parameter.requires_grad for parameter in self.encoder.front_end.parameters()):
            share, terms["feature_penalty"] = global_mean(features.float().square().mean(2), real)
            loss = loss + self.feature_penalty * share
        return {"loss": loss, **terms}

    def _contrast(
        self, queries: Tensor, targets: Tensor, valid: Tensor, keys: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrastive loss of queries ``(B, K, D)`` at the hidden frames and their targets, and what to log."""
        counts = valid.sum(1)
        slots = torch.arange(queries.shape[1], device=queries.device).expand(len(queries), -1)
        candidates = draw_candidates(slots, counts, self.negatives, keys)
        equal = equal_to_positive(targets, candidates)
        logits = cosine_logits(queries, self.target_head(targets), candidates, self.temperature)
        logits = logits.masked_fill(F.pad(equal, (1, 0), value=False), -torch.inf)
        # A frame that is hidden alone in its recording has no negatives.
        counted = valid & (counts[:, None] > 1)
        loss, value = global_mean(token_nats(logits, torch.zeros_like(slots)), counted)
        return loss, {
            "contrastive": value,
            "accuracy": global_mean(first_is_best(logits.detach()), counted).value,
            "equal_negatives": global_mean(equal.float().mean(2), counted).value,
        }

    @property
    def quantizer_temperature(self) -> float:
        """The temperature of the Gumbel softmax now."""
        return decayed_temperature(self.gumbel_temperature, self.gumbel_decay, self.progress)

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of candidates, all being equally likely: of the contrastive term, logged by itself."""
        return math.log(self.negatives + 1)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Of the contrastive term, not of the whole loss; and targets that do not differ."""
        contrast = loss_at_chance(self.chance_loss(batch_size), metrics.CONTRASTIVE)
        share = f"{{{metrics.EQUAL_NEGATIVES}:.0%}} of the negatives"
        if self.quantizer is None:
            sentence = (
                f"The targets have collapsed: {share} are the same vector as the positive, so the loss teaches "
                "nothing. Look at the learning rate, the front end and the waveforms, which may be silent."
            )
        else:
            sentence = (
                f"The codes have collapsed: {share} have the positive's code ({metrics.CODE_PERPLEXITY} is "
                f"{{{metrics.CODE_PERPLEXITY}:.1f}}), so the loss teaches nothing. Raise diversity_weight, lower the "
                "learning rate, or set targets to continuous."
            )
        return [collapsed_representation(), contrast, Alarm(metrics.EQUAL_NEGATIVES, sentence, above=TOO_MANY_EQUAL)]
