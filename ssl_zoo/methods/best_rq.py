"""BEST-RQ: spans of speech or parts of an image are hidden, and random codes of what was there are predicted."""

import math

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.requirements import require_both_sides, require_contents, require_maskable
from ssl_zoo.lightning_inside import trainer_of
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, few_codes
from ssl_zoo.parts.codebooks import code_perplexity
from ssl_zoo.parts.random_projection import RandomProjection, mean_and_deviation
from ssl_zoo.parts.refit import Count, Refit

EXAMPLES = 1024  # of the training data, whose mean and deviation stand for all


class BestRQ(Method):
    """Self-supervised learning with a random-projection quantizer (BEST-RQ, Chiu et al., 2022, arXiv:2202.01855, 3).

    x are what is at the places of an input before anything is hidden: the log-mel frames that a place of speech covers,
    or the pixels of a patch, with zero mean and unit variance over the training data. A random projection P and a
    random codebook c, which are never trained, make codes of them. With H the hidden places of the global batch, drawn
    anew at every step, x~ the input with one learnt vector at them, and W the only layer of the head:

        q_h  = argmin over v of || c_v / |c_v| - P x_h / |P x_h| ||
        loss = mean over h in H of -log softmax(W e(x~)_h + b)[q_h]

    Nothing in the targets can collapse, and there are no negatives. The paper puts noise in place of what is hidden;
    here it is a learnt vector, as in wav2vec 2.0, which any encoder can take.

    Watch `train/accuracy`, how often the code is predicted, and `train/loss` against log V, where nothing is learnt.
    `train/code_perplexity`, among how many equally frequent codes the places of a batch waver, does not change by
    training: it is a property of the data, and its logarithm is what guessing by frequency costs.

    Args:
        encoder: The network to pretrain, a bidirectional transformer of images or of speech.
        masking: What is hidden. None takes, of frames of speech, the paper's spans of 0.4 s, which begin at 1 % of the
            frames of 10 ms; of patches, blocks that make up 0.6 of them.
        entries: Number of codes, V; the paper's 8192 are for tens of thousands of hours.
        code_dim: Size of the vectors that are compared with the codebook.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or reads text, its vectors cannot be replaced, or a size is out of its range.
    """

    both_sides = True

    def __init__(
        self,
        encoder: Encoder,
        masking: Masking | None = None,
        entries: int = 8192,
        code_dim: int = 16,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_maskable(encoder, "BestRQ")
        require_contents(encoder, "BestRQ")
        require_both_sides(encoder, "BestRQ")
        usual = RandomBlocks() if encoder.in_plane else RandomSpans(0.4, 20)
        self.masking = usual if masking is None else masking
        self.quantizer = RandomProjection(encoder.content_dim, entries, code_dim)
        self.fitted = Count()
        self.mask_vector = nn.Parameter(0.02 * torch.randn(encoder.dim))
        self.head = nn.Linear(encoder.dim, entries)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, how often the code is predicted, and how codes are used."""
        self.fitted.require_some("BestRQ", self.training and trainer_of(self) is not None)
        codes, embedded = self.codes(batch), self.encoder.embed(batch.inputs, batch.mask)
        real = all_real(embedded.vectors, embedded.mask)
        hidden = self.masking(real, self.keys(batch), self.encoder.grid(batch.inputs))
        encoded = self.encoder.contextualize(hidden.replace(embedded, self.mask_vector))
        logits, truth = self.head(hidden.at(encoded.sequence)), hidden.at(codes)
        return {
            "loss": global_mean(token_nats(logits, truth), hidden.valid).share,
            "accuracy": global_mean((logits.argmax(2) == truth).float(), hidden.valid).value,
            "code_perplexity": code_perplexity(codes, real, self.head.out_features),
        }

    def codes(self, batch: Batch) -> Tensor:
        """``(B, N)`` int64, the codes of all places."""
        return self.quantizer(self.encoder.contents(batch.inputs, batch.mask))

    def refits(self) -> list[Refit]:
        """Mean and deviation of what is at a place, once, before the first step."""
        what = "mean and deviation of what is at a place"
        once = Refit(0.0, what, self._collect, mean_and_deviation, self._standardize, EXAMPLES)
        return [] if self.fitted.value else [once]

    def _collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        contents = self.encoder.contents(batch.inputs, batch.mask)
        return contents, all_real(contents, self.encoder.embed(batch.inputs, batch.mask).mask)

    def _standardize(self, statistics: Tensor) -> None:
        self.quantizer.standardize(statistics)
        self.fitted.value = 1

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of codes, all being equally likely."""
        return math.log(self.head.out_features)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Too few codes in use."""
        advice = "Look at the data, which may be silent or blank, and raise entries or code_dim."
        return [*super().alarms(batch_size), few_codes(advice)]
