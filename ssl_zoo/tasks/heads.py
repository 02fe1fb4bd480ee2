"""The small layers that turn an encoder's vectors into answers, and their losses: one head per kind of answer."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Encoded
from ssl_zoo.tasks.examples import TaskBatch
from ssl_zoo.tasks.places import nearest_frames, real_counts


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
    def forward(self, encoded: Encoded, batch: TaskBatch) -> Tensor:
        """Float32 scores."""

    @abstractmethod
    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """Scalar, the mean over what is predicted in the batch."""

    @abstractmethod
    def predict(self, scores: Tensor, batch: TaskBatch) -> list[list[int]]:
        """The answer to every example: its class, the tags of its places in order, or first and last token."""


class ClassHead(Head):
    """One class per example, from the pooled vector; scores ``(B, classes)``."""

    def forward(self, encoded: Encoded, batch: TaskBatch) -> Tensor:
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

    def forward(self, encoded: Encoded, batch: TaskBatch) -> Tensor:
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


class PlaceHead(Head):
    """One class per place of an example's raw inputs, from the vector nearest to it; scores ``(P, classes)``.

    `TaskBatch.places` are numbers ``(B, K)`` int64 of raw inputs here, -1 where an example has fewer than K.

    Args:
        dim: size of the encoder's vectors.
        classes: number of classes.
        offset: raw input at the centre of the encoder's first vector.
        stride: raw inputs from one vector to the next.
        dropout: rate of dropout in training.
    """

    def __init__(self, dim: int, classes: int, offset: int, stride: int, dropout: float = 0.1) -> None:
        super().__init__(dim, classes, dropout)
        self.offset, self.stride = offset, stride

    def forward(self, encoded: Encoded, batch: TaskBatch) -> Tensor:
        """``(P, classes)``, of the places of all examples, one example after the other."""
        rows, inputs = self._places(batch)
        counts = real_counts(encoded.sequence, encoded.mask)[rows]
        nearest = nearest_frames(inputs, counts, self.offset, self.stride)
        return self.linear(self.dropout(encoded.sequence[rows, nearest])).float()

    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """Cross entropy, the mean over all places of the batch."""
        assert batch.places is not None
        return F.cross_entropy(scores, batch.targets[batch.places >= 0])

    def predict(self, scores: Tensor, batch: TaskBatch) -> list[list[int]]:
        """The classes with the highest scores."""
        rows, _ = self._places(batch)
        each = scores.argmax(1).split(rows.bincount(minlength=len(batch.inputs)).tolist())
        return [classes.tolist() for classes in each]

    def _places(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """``(P,)`` which example each place is in, and ``(P,)`` which raw input it is."""
        assert batch.places is not None
        rows, columns = (batch.places >= 0).nonzero(as_tuple=True)
        return rows, batch.places[rows, columns]


class SpanHead(Head):
    """The first and the last token of an answer, a score for each at every token; scores ``(B, T, 2)``.

    Devlin et al., 2018, section 4.2: the probabilities are a softmax over the places of the example.
    """

    def forward(self, encoded: Encoded, batch: TaskBatch) -> Tensor:
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
