"""vq-wav2vec: wav2vec on frames that have become codes."""

from typing import Literal, cast

import torch
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.wav2vec import Wav2Vec
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import FEW_CODES, Alarm, collapsed_representation, few_codes, loss_at_chance
from ssl_zoo.parts.codebooks import GumbelQuantizer, code_perplexity, code_use, decayed_temperature
from ssl_zoo.parts.coded_frames import CodedFrames
from ssl_zoo.randomness import fold_in
from ssl_zoo.views.base import require_at_least, require_probability, require_range

# What an example's keys are folded with; those of negatives are `Wav2Vec`'s.
NOISE = 2


class VQWav2Vec(Wav2Vec):
    """vq-wav2vec (Baevski et al., 2019, arXiv:1910.05453, section 3).

    The loss of `Wav2Vec`, with the front end's frames replaced by codes of G groups, as targets and as what the encoder
    sees; its `front_end` is a `CodedFrames`. Codes are drawn by a Gumbel softmax (section 3.1) or are the nearest
    entries (section 3.2), with the penalty p that brings frames and entries together and, of the Gumbel softmax and on
    request, one on entries that are left unused, as wav2vec 2.0 has it (2006.11477, equation 4):

        loss = wav2vec's  +  mean of p                                                         (k_means)
        loss = wav2vec's  +  diversity_weight * (G V - sum over g of exp H(p_g)) / (G V)        (gumbel)

    Watch `train/accuracy` as with wav2vec, and `train/code_perplexity`, among how many equally frequent entries the
    codes of a batch waver, summed over the groups: between G, where all frames have the same code and nothing is
    learnt, and G V.

    Args:
        encoder: The network to pretrain; causal, its front end a `CodedFrames`.
        steps: How many steps ahead are predicted.
        negatives: Number of negatives for every frame and step.
        loss: Form of the contrast: `binary` is the paper's, `infonce` CPC's.
        offset: Frames from a vector to the first one that it predicts. None takes the first frame whose window of
            samples begins after that of the vector's own frame has ended.
        diversity_weight: Weight of the penalty on entries left unused; 0 is the paper's. Only `gumbel` has it.
        gumbel_temperature: Temperature of the Gumbel softmax, at the start and at the end of its decay.
        gumbel_decay: Part of the run over which the temperature decays, exponentially.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is not causal or its frames are no codes, an argument is out of its range, or recordings
            are too short to see a frame and predict another.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        steps: int = 12,
        negatives: int = 10,
        loss: Literal["binary", "infonce"] = "binary",
        offset: int | None = None,
        diversity_weight: float = 0.0,
        gumbel_temperature: tuple[float, float] = (2.0, 0.5),
        gumbel_decay: float = 0.7,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, steps, negatives, loss, offset, optimizer)
        if not isinstance(encoder.front_end, CodedFrames):
            raise InputError(
                "VQWav2Vec learns codes of frames, and the encoder's front end, "
                f"{type(encoder.front_end).__name__}, has none: take CodedFrames, with it as its front_end."
            )
        require_range("gumbel_temperature", (gumbel_temperature[1], gumbel_temperature[0]))
        require_probability("gumbel_decay", gumbel_decay)
        require_at_least("diversity_weight", diversity_weight, 0)
        self.diversity_weight = diversity_weight
        self.gumbel_temperature, self.gumbel_decay = gumbel_temperature, gumbel_decay

    @property
    def coded(self) -> CodedFrames:
        """The encoder's front end."""
        return cast(CodedFrames, self.encoder.front_end)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, its terms, how often the true frame is the nearest, and how codes are used."""
        coded, keys = self.coded, self.keys(batch)
        frames, mask = coded.front_end(batch.inputs, batch.mask)
        real, noise = all_real(frames, mask), fold_in(keys, NOISE)
        if isinstance(coded.quantizer, GumbelQuantizer):
            quantized = coded.quantizer(frames, noise, self.quantizer_temperature)
            penalty, perplexity = code_use(quantized, real)
            weight, penalties = self.diversity_weight, {"diversity": penalty.detach()}
        else:
            quantized = coded.quantizer(frames, real, noise)
            penalty, value = global_mean(quantized.penalty, real)
            groups = quantized.codes.unbind(2)
            perplexity = torch.stack([code_perplexity(each, real, coded.entries) for each in groups]).sum()
            weight, penalties = 1.0, {"code_distance": value}
        terms = self.contrast(quantized.vectors, mask, keys)
        contrast = terms["loss"]
        loss = contrast + weight * penalty if weight else contrast
        logged = {"contrastive": contrast.detach(), "code_perplexity": perplexity, **penalties}
        return {**terms, "loss": loss, **logged}

    @torch.no_grad()
    def codes(self, batch: Batch) -> Tensor:
        """``(B, N, G)`` int64, the codes of all places: the likeliest or nearest entries, without noise."""
        return self.coded.quantize(batch.inputs, batch.mask)[0].codes

    @property
    def quantizer_temperature(self) -> float:
        """The temperature of the Gumbel softmax now."""
        return decayed_temperature(self.gumbel_temperature, self.gumbel_decay, self.progress)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Of the contrastive term, not of the whole loss; and few codes in use."""
        codes = few_codes(
            "Raise diversity_weight, lower the learning rate, or set the front end's quantizer to k_means."
        )
        chance = loss_at_chance(self.chance_loss(batch_size), metrics.CONTRASTIVE)
        return [collapsed_representation(), chance, codes._replace(below=FEW_CODES * self.coded.groups)]
