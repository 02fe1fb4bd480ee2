"""What every data module offers besides Lightning's loaders."""

from abc import ABC, abstractmethod

import lightning as L
from torch import Tensor
from torch.utils.data import Dataset

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError


class Examples(Dataset[Batch], ABC):
    """One part of a data set, fetched a batch at a time.

    Attributes:
        labels: ``(N,)`` int64, or None when the data has none.
    """

    labels: Tensor | None

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def __getitems__(self, positions: list[int]) -> Batch:
        """The examples at these positions, on the CPU."""


class DataModule(L.LightningDataModule, ABC):
    """A data module with a fixed split, known after `setup`, and what probes need to know about it.

    Attributes:
        train_set: what a method is pretrained on.
        validation_set: held out for choices.
        test_set: held out for the final numbers.
        classes: names of the classes, in label order; empty without labels.
        split_hash: the same for two runs exactly when they split the same data alike.
        source_name: what the data is called in tables.
        batch_size: examples per optimizer step, over all processes together.
        num_workers: processes that fetch batches.
    """

    train_set: Examples
    validation_set: Examples
    test_set: Examples
    classes: list[str]
    split_hash: str
    source_name: str
    batch_size: int
    num_workers: int


def data_of(trainer: L.Trainer) -> DataModule:
    """The data module that a trainer was given.

    Raises:
        InputError: it was given bare loaders, or a data module of another kind.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, DataModule):
        raise InputError("Probes and schedules ask the data module: give the Trainer a DataModule of ssl_zoo.")
    return data
