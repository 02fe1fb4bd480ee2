"""What a task hands to an encoder and its head."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import Dataset


class TaskBatch(NamedTuple):
    """One batch of a labelled task.

    Attributes:
        inputs: raw inputs as in `ssl_zoo.batch.Batch`.
        mask: mask of the inputs; bool ``(B, T)`` for texts.
        targets: int64; the class ``(B, 1)``, the tag of every token ``(B, T)`` or place ``(B, K)``, or the first and
            last token of the answer ``(B, 2)``.
        places: ``(B, T)`` bool, the tokens that are classified: the first one of every word to tag, or where an answer
            may begin and end; or ``(B, K)`` int64, raw inputs at which something is, -1 where there is no further one;
            None where the whole example is classified. Targets elsewhere mean nothing.
    """

    inputs: Tensor
    mask: Tensor | None
    targets: Tensor
    places: Tensor | None


class TaskExamples(Dataset[TaskBatch], ABC):
    """The training or the test examples of a task, fetched a batch at a time.

    Attributes:
        lengths: ``(N,)`` int64, of every example, where a batch is padded to its longest one; None where all are alike.
    """

    lengths: Tensor | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def __getitems__(self, positions: list[int]) -> TaskBatch:
        """The examples at these positions, on the CPU."""
