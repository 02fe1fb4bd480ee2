"""The small layers that turn an encoder's vectors into answers, and their losses: one head per kind of answer."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Encoded
from ssl_zoo.finetuning.examples import TaskBatch


class Head(nn.Module, ABC):
    """One linear layer behind dropout, as in BERT (Devlin et al., 2018, arXiv:1810.04805, section 4).

    Args:
        dim: size of the encoder's vectors.
        outputs: scores per vector.
        dropout: rate of dropout in training.
    """

    def __init__(self, dim: int, outputs: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(dim, outputs)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    @abstractmethod
    def forward(self, encoded: Encoded) -> Tensor:
        """Float32 scores."""

    @abstractmethod
    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """Scalar, the mean over what is judged in the batch."""

    @abstractmethod
    def predict(self, scores: Tensor, batch: TaskBatch) -> list[list[int]]:
        """The answer to every example: its class, the tags of its places in order, or first and last token."""


class ClassHead(Head):
    """One class per example, from the pooled vector; scores ``(B, classes)``."""

    def forward(self, encoded: Encoded) -> Tensor:
        """``(B, classes)``."""
        return self.linear(self.dropout(encoded.pooled)).float()

    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(scores, batch.targets[:, 0])

    def predict(self, scores: Tensor, batch: TaskBatch) -> list[list[int]]:
        """The class with the highest score."""
        return scores.argmax(1)[:, None].tolist()


class TagHead(Head):
    """One tag per place, from its own vector; scores ``(B, T, tags)``."""

    def forward(self, encoded: Encoded) -> Tensor:
        """``(B, T, tags)``."""
        return self.linear(self.dropout(encoded.sequence)).float()

    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """Cross entropy, the mean over all places of the batch."""
        assert batch.places is not None
        return F.cross_entropy(scores[batch.places], batch.targets[batch.places])

    def predict(self, scores: Tensor, batch: TaskBatch) -> list[list[int]]:
        """The tags with the highest scores."""
        assert batch.places is not None
        answers = zip(scores.argmax(2), batch.places, strict=True)
        return [tags[places].tolist() for tags, places in answers]


class SpanHead(Head):
    """The first and the last token of an answer, a score for each at every token; scores ``(B, T, 2)``.

    Devlin et al., 2018, section 4.2: the probabilities are a softmax over the places of the example.
    """

    def forward(self, encoded: Encoded) -> Tensor:
        """``(B, T, 2)``."""
        return self.linear(self.dropout(encoded.sequence)).float()

    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """The mean of the cross entropies of the first and of the last token."""
        first, last = self._within(scores, batch)
        return (F.cross_entropy(first, batch.targets[:, 0]) + F.cross_entropy(last, batch.targets[:, 1])) / 2

    def predict(self, scores: Tensor, batch: TaskBatch) -> list[list[int]]:
        """The places with the highest sum of scores of which the first is not behind the last."""
        first, last = self._within(scores, batch)
        length = scores.shape[1]
        ordered = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu()
        sums = (first[:, :, None] + last[:, None, :]).masked_fill(~ordered, -torch.inf)
        best = sums.flatten(1).argmax(1)
        return torch.stack([best // length, best % length], dim=1).tolist()

    def _within(self, scores: Tensor, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """Scores ``(B, T)`` of beginning and ending at a token, minus infinity where no answer may be."""
        assert batch.places is not None
        first, last = scores.masked_fill(~batch.places[..., None], -torch.inf).unbind(2)
        return first, last
