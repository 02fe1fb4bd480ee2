"""BERT on the codes of vq-wav2vec: spans of codes are hidden and predicted from what stands around them."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, initialize_head, token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import FEW_CODES, Alarm, few_codes
from ssl_zoo.parts.codebooks import code_perplexity
from ssl_zoo.parts.coded_frames import FrozenCodes
from ssl_zoo.randomness import fold_in

# What an example's keys are folded with.
MASKING = 1


class VQWav2VecBERT(Method):
    """BERT on codes of speech (vq-wav2vec, Baevski et al., 2019, arXiv:1910.05453, section 4).

    The encoder reads nothing but the codes z that a finished run of `VQWav2Vec` makes of a recording: its front end is
    a `FrozenCodes`. With M the hidden places of the global batch, z~ the codes with one learnt vector at them, and a
    head h_g of each of the G groups:

        loss = sum over g of  mean over i in M of -log softmax(h_g(encoder(z~)_i))[z_i,g]

    The paper makes one vocabulary of all pairs of codes that occur; here the codes of a pair are predicted each on its
    own, which needs no list of pairs and no rare ones. Hiding single codes would be too easy, as neighbours are alike.

    Watch `train/accuracy`, the part of the hidden codes predicted right, and `train/code_perplexity`, among how many
    equally frequent entries the codes of a batch waver, summed over the groups: predicting few is no feat.

    Args:
        encoder: The network to pretrain; bidirectional, its front end a `FrozenCodes`.
        masking: What is hidden. None takes the paper's spans of 10 that make up half of the codes if they did not
            overlap.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or does not read the codes of a run.
    """

    encoder: AudioEncoder

    def __init__(
        self, encoder: AudioEncoder, masking: Masking | None = None, optimizer: Optimizer = Optimizer()
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, AudioEncoder) or encoder.causal or not isinstance(encoder.front_end, FrozenCodes):
            raise InputError(
                "VQWav2VecBERT predicts hidden codes of a run of VQWav2Vec from both sides, which "
                f"{type(encoder).__name__} does not read as it is: take Wav2Vec2Encoder with FrozenCodes as front_end."
            )
        self.masking = RandomSpans(0.5, 10) if masking is None else masking
        self.mask_vector = nn.Parameter(0.02 * torch.randn(encoder.dim))
        self.head = nn.Sequential(
            nn.Linear(encoder.dim, encoder.dim),
            nn.GELU(),
            nn.LayerNorm(encoder.dim),
            nn.Linear(encoder.dim, self.coded.groups * self.coded.entries),
        )
        initialize_head(self.head)

    @property
    def coded(self) -> FrozenCodes:
        """The encoder's front end."""
        return cast(FrozenCodes, self.encoder.front_end)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the part of the hidden codes predicted right, and how codes are used."""
        codes, real, hidden, logits = self.fill_in(batch)
        targets = hidden.at(codes)
        valid = hidden.valid[..., None].expand_as(targets)
        used = [code_perplexity(each, real, self.coded.entries) for each in codes.unbind(2)]
        return {
            "loss": self.coded.groups * global_mean(token_nats(logits, targets), valid).share,
            "accuracy": global_mean((logits.argmax(3) == targets).float(), valid).value,
            "code_perplexity": torch.stack(used).sum(),
        }

    def codes(self, batch: Batch) -> Tensor:
        """``(B, N, G)`` int64, the codes of all places."""
        return self.coded.codes(batch.inputs, batch.mask)[1]

    def fill_in(self, batch: Batch) -> tuple[Tensor, Tensor, Hidden, Tensor]:
        """Codes ``(B, N, G)``, which are real ``(B, N)``, which are hidden, and logits ``(B, K, G, V)`` of these."""
        vectors, codes, mask = self.coded.codes(batch.inputs, batch.mask)
        embedded, real = self.encoder.embed_frames(self.encoder.feature_norm(vectors), mask), all_real(vectors, mask)
        hidden = self.masking(real, fold_in(self.keys(batch), MASKING), self.encoder.grid(batch.inputs))
        sequence = self.encoder.contextualize(hidden.replace(embedded, self.mask_vector)).sequence
        return codes, real, hidden, self.head(hidden.at(sequence)).unflatten(2, (self.coded.groups, -1))

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of entries, all being equally likely, once for every group."""
        return self.coded.groups * math.log(self.coded.entries)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Few codes in use."""
        codes = few_codes("Set the front end's pretrained to a run of VQWav2Vec that uses more of its codes.")
        return [*super().alarms(batch_size), codes._replace(below=FEW_CODES * self.coded.groups)]
