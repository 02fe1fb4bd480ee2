"""One part of a data set, as loaders and probes see it."""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.utils.data import Dataset

from ssl_zoo.batch import Batch

UNLABELLED = -1


class Examples(Dataset[Batch], ABC):
    """One part of a data set, fetched a batch at a time.

    Attributes:
        labels: ``(N,)`` int64, or None when the data has none.
        lengths: ``(N,)`` int64, in tokens or samples; None when all examples have the same.
        fetched_at_once: how many examples are encoded at once in evaluation.
        in_source: whether `Batch.index` says where an example stands in its source; otherwise it numbers the examples.
    """

    labels: Tensor | None
    lengths: Tensor | None = None
    fetched_at_once: int = 512
    in_source: bool = True

    @property
    def positions(self) -> Tensor | None:
        """``(N,)`` int64, where the examples stand in their source; None where they stand nowhere in it."""
        return None

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def __getitems__(self, positions: list[int]) -> Batch:
        """The examples at these positions, on the CPU."""
