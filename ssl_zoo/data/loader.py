"""Loaders whose order is a function of (seed, position in the run), cut evenly over the ranks, and exact on resume."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import finished_batches
from ssl_zoo.randomness import fold_in


def identity(batch: Batch) -> Batch:
    """Stands where a loader would join examples: a data set here hands over whole batches."""
    return batch


class ShuffledSampler(DistributedSampler[int]):
    """One rank's share of an endless stream of shuffled batches.

    The stream is one permutation of the data after another, each a function of (seed, epoch) and without its last,
    incomplete batch. Batch t of one process and the t-th batches of N ranks, joined in rank order, are the same.
    Being a `DistributedSampler`, it is left alone by Lightning.

    Args:
        length: number of examples.
        batch_size: size of the global batch.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, length: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        # The base class asks for a data set and uses its length alone.
        super().__init__(range(length), world_size, rank, seed=seed, drop_last=True)  # type: ignore[arg-type]  # of a data set only the length is asked
        self.length, self.batch_size = length, batch_size
        self.batches_per_epoch = length // batch_size
        self.first_batch = 0

    def __len__(self) -> int:
        """This rank's examples in one pass."""
        return self.batches_per_epoch * self.batch_size // self.num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: `first_batch` says where a pass begins.

        Lightning counts an epoch that `max_steps` has cut as a whole one, and after a resume its number is one too
        high for the rest of that epoch.
        """

    def __iter__(self) -> Iterator[int]:
        """As many batches as an epoch has, from `first_batch` of the stream on."""
        share = self.batch_size // self.num_replicas
        epoch, order = -1, torch.empty(0)
        for batch in range(self.first_batch, self.first_batch + self.batches_per_epoch):
            if batch // self.batches_per_epoch != epoch:
                epoch = batch // self.batches_per_epoch
                order = self.order_of(epoch)
            start = batch % self.batches_per_epoch * self.batch_size + self.rank * share
            yield from order[start : start + share].tolist()

    def order_of(self, epoch: int) -> Tensor:
        """``(length,)`` int64, the positions of an epoch in their order."""
        return permutation(self.length, self.seed, epoch)


def permutation(length: int, *key: int) -> Tensor:
    """``(length,)`` int64, a random order of so many positions that follows from the key."""
    seed, *numbers = key
    folded = torch.tensor([seed])
    for number in numbers:
        folded = fold_in(folded, number)
    return torch.randperm(length, generator=torch.Generator().manual_seed(int(folded)))


class OrderedSampler(DistributedSampler[int]):
    """One rank's share of all examples in a given order; the t-th batches of N ranks are batch t of one process.

    The last batch is what is left. Where the ranks cannot share it evenly, its last example is repeated, so that every
    rank has as many batches of the same size and a collective operation cannot hang.

    Args:
        length: number of examples.
        batch_size: size of the global batch.
        rank: this process.
        world_size: number of processes.
        order: ``(length,)`` int64, positions of the examples; ascending when left out.
    """

    def __init__(self, length: int, batch_size: int, rank: int, world_size: int, order: Tensor | None = None) -> None:
        # The base class asks for a data set and uses its length alone.
        super().__init__(range(length), world_size, rank, shuffle=False)  # type: ignore[arg-type]  # of a data set only the length is asked
        self.length, self.batch_size = length, batch_size
        self.order = torch.arange(length) if order is None else order

    def __len__(self) -> int:
        """This rank's examples."""
        full, rest = divmod(self.length, self.batch_size)
        return full * self.batch_size // self.num_replicas + -(-rest // self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        """Positions, in the order given."""
        for start in range(0, self.length, self.batch_size):
            share = -(-min(self.batch_size, self.length - start) // self.num_replicas)
            first = start + self.rank * share
            yield from self.order[torch.arange(first, first + share).clamp(max=self.length - 1)].tolist()


class TrainLoader(DataLoader[Batch]):
    """Every pass has as many batches as an epoch and goes on in the stream where training stands.

    In a Trainer's run the Trainer's own count of finished batches says where. It is in every checkpoint and always
    restored, whereas Lightning restores a loader's state neither at an epoch's end under `max_epochs` nor once
    something has asked for `estimated_stepping_batches`; and a batch whose step was interrupted is not in it, so the
    resumed run sees that batch again. Outside a run the loader counts the batches it has handed out; `state_dict` holds
    that count, and shows Lightning that the loader can be resumed.

    Args:
        dataset: what to draw from.
        sampler: a `ShuffledSampler`; whatever Lightning puts there for `overfit_batches` is left to itself.
        trainer: trainer of the run, or None outside a run.
        settings: passed on to `DataLoader`.

    Attributes:
        position: batches of the stream already used.
    """

    def __init__(self, dataset: Dataset[Batch], sampler: Any, trainer: L.Trainer | None, **settings: Any) -> None:
        super().__init__(dataset, sampler=sampler, **settings)
        self.trainer = trainer
        self.position = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator will do
        """Begins when the first batch is asked for: Lightning makes the iterator before it knows where to resume."""
        if self.trainer is not None and self.trainer.training:
            self.position = finished_batches(self.trainer)
        if isinstance(self.sampler, ShuffledSampler):
            self.sampler.first_batch = self.position
        for batch in super().__iter__():
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The batches handed out so far."""
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Goes on after as many batches."""
        self.position = state_dict["position"]


def train_loader(
    examples: Examples,
    batch_size: int,
    seed: int,
    num_workers: int,
    trainer: L.Trainer | None,
    make_sampler: Callable[[int, int, int, int, int], ShuffledSampler] = ShuffledSampler,
) -> TrainLoader:
    """Shuffled batches without end, the incomplete last batch of every epoch left out.

    Args:
        examples: fetched a batch at a time.
        batch_size: over all ranks together.
        seed: seed of the order; the same on all ranks.
        num_workers: processes that fetch batches; 0 fetches in the training process.
        trainer: gives rank and world size; None stands for a single process.
        make_sampler: gives the order, from the arguments of a `ShuffledSampler`.

    Raises:
        InputError: `batch_size` is larger than the data, or the ranks cannot share it evenly.
    """
    rank, world_size = place_of(batch_size, trainer)
    if batch_size > len(examples):
        raise InputError(
            f"batch_size {batch_size} is larger than the training set of {len(examples)} examples: "
            f"set data.batch_size to {len(examples)} or less, or give more data."
        )
    sampler = make_sampler(len(examples), batch_size, seed, rank, world_size)
    settings = {"batch_size": batch_size // world_size, "drop_last": True, **fetching(num_workers)}
    return TrainLoader(examples, sampler=sampler, trainer=trainer, **settings)  # Lightning may replace what has a name


def ordered_loader(
    examples: Examples, batch_size: int, num_workers: int, trainer: L.Trainer | None, order: Tensor | None = None
) -> DataLoader[Batch]:
    """All examples once; the other arguments, and errors, as for `train_loader`.

    Args:
        examples: fetched a batch at a time.
        batch_size: over all ranks together.
        num_workers: processes that fetch batches.
        trainer: gives rank and world size.
        order: ``(N,)`` int64, positions of the examples as they are to come; the data's own order when left out.
    """
    rank, world_size = place_of(batch_size, trainer)
    sampler = OrderedSampler(len(examples), batch_size, rank, world_size, order)
    return DataLoader(examples, batch_size=batch_size // world_size, sampler=sampler, **fetching(num_workers))


def place_of(batch_size: int, trainer: L.Trainer | None) -> tuple[int, int]:
    """Rank and world size.

    Args:
        batch_size: over all ranks together.
        trainer: None stands for a single process.

    Raises:
        InputError: the ranks cannot share a batch evenly.
    """
    rank, world_size = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    if batch_size % world_size:
        raise InputError(
            f"batch_size {batch_size} is the batch of all {world_size} processes together: make it a multiple of "
            f"{world_size}."
        )
    return rank, world_size


def fetching(num_workers: int) -> dict[str, Any]:
    """Settings of a `DataLoader` for fetching whole batches with so many worker processes."""
    if num_workers == 0:  # a batch is one index into memory: Lightning's advice to add workers would make it slower
        warnings.filterwarnings("ignore", ".*does not have many workers")  # data lies in memory
    return {
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "pin_memory": torch.cuda.is_available(),
        "collate_fn": identity,
    }
