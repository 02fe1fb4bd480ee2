"""What every data module offers besides Lightning's loaders."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ssl_zoo.batch import Batch
from ssl_zoo.data.answers import Answers
from ssl_zoo.data.examples import UNLABELLED, Examples
from ssl_zoo.data.loader import TrainLoader, ordered_loader, train_loader
from ssl_zoo.data.same_split import SplitRecord, require_same_split
from ssl_zoo.data.splits import PARTS, Split, count_shared, fixed_order, hold_out
from ssl_zoo.errors import InputError
from ssl_zoo.own_code import own_errors
from ssl_zoo.rebuilding import Rebuildable, keep_settings


class DataModule(Answers, Rebuildable, L.LightningDataModule, ABC):
    """A data module with a fixed split, known after `setup`, and what probes need to know about it.

    The order of the training batches follows from PyTorch's seed at construction, and is part of every checkpoint. So
    is the split: a checkpoint is refused on data that is split otherwise.

    Args:
        batch_size: examples per optimizer step, over all processes together.
        train_size: use only so many of the training examples; all when None.
        validation_fraction: part of the training examples held out for validation when there is no official validation
            part, in (0, 1).
        test_fraction: part of all examples held out for testing when there is no official test set, in (0, 1).
        num_workers: processes that fetch batches.

    Attributes:
        train_set: what probes are fitted on.
        pretrain_set: what `train_dataloader` draws from: `train_set`, and what the source has without labels.
        validation_set: held out for choices.
        test_set: held out for the final numbers.
        classes: names of the classes, in label order; empty without labels.
        identity: the same for two runs exactly when their data is the same, wherever it lies: its examples, labels and
            official parts.
        split_hash: the same for two runs exactly when they split the same data alike.
        predicted: the part that `predict_dataloader` gives.
        allow_other_split: whether a checkpoint that was trained on another split is taken all the same.
        split_remark: how the split differs from that of a checkpoint that was taken all the same; else None.
        kept: what a checkpoint keeps of the data, from where it was loaded; None where there was none.
        content_hashes: ``(n,)`` uint64 of pretraining, validation and test part, equal for equal examples; or None.
        finer: how to have more and smaller examples of the same data, as a sentence; empty where there is no way.
        cheap_examples: how many training examples may be encoded now and then while training goes on.

    Raises:
        InputError: an argument is out of its range.
    """

    train_set: Examples
    pretrain_set: Examples
    validation_set: Examples
    test_set: Examples
    classes: list[str]
    identity: str = ""
    split_hash: str
    predicted: Literal["train", "validation", "test", "pretrain"] = "test"
    allow_other_split: bool = False
    split_remark: str | None = None
    kept: dict[str, Any] | None = None
    content_hashes: list[np.ndarray] | None = None
    finer: str = ""
    cheap_examples: int = 4096

    def __init__(
        self,
        batch_size: int,
        train_size: int | None,
        validation_fraction: float,
        test_fraction: float,
        num_workers: int,
    ) -> None:
        super().__init__()
        check_at_least(1, batch_size=batch_size, train_size=train_size)
        check_at_least(0, num_workers=num_workers)
        for name, fraction in {"validation_fraction": validation_fraction, "test_fraction": test_fraction}.items():
            if not 0 < fraction < 1:
                raise InputError(f"{name} is {fraction}: it must lie between 0 and 1.")
        self.batch_size, self.num_workers = batch_size, num_workers
        self.train_size, self.validation_fraction, self.test_fraction = train_size, validation_fraction, test_fraction
        self.order_seed = torch.initial_seed() % 2**63

    def save_hyperparameters(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's, for checkpoints that hold plain settings also where the data was built in Python."""
        keep_settings(self, super().save_hyperparameters, *args, **kwargs)

    @abstractmethod
    def read(self) -> None:
        """Reads and splits the data: sets the parts, `classes`, `identity` and `split_hash`.

        Raises:
            InputError: the data is missing or damaged, or there is too little of it.
        """

    def setup(self, stage: str | None = None) -> None:
        """Reads and splits the data, once; errors as `read` and `load_state_dict`."""
        if self.trainer is not None:
            self.order_seed = self.trainer.strategy.broadcast(self.order_seed)
        if not hasattr(self, "train_set"):
            with own_errors(type(self), type(getattr(self, "source", self))):
                self.read()
            self._require_same_split()

    def split(self, labels: Tensor, parts: Tensor, noun: str) -> Split:
        """Cuts the examples of a source into parts, of every class in proportion and the same at every call.

        Official parts stay as they are. What is missing, a test or a validation part, is held out of the training
        examples. Where training examples have labels, those without one serve only for pretraining, and validation
        and test examples without one for nothing.

        Args:
            labels: ``(N,)`` int64 of all of the source's examples, -1 where there is none.
            parts: ``(N,)`` int64, the number in `PARTS` of the official part of every example.
            noun: what examples are called in messages.

        Raises:
            InputError: there are too few examples.
        """
        train, validation, test, unlabelled = (parts == number for number in range(len(PARTS)))
        known = labels != UNLABELLED
        with_labels = bool(known[train].any())
        usable = known if with_labels else torch.ones_like(known)
        left_out = int((~usable & (validation | test)).sum())
        if left_out:
            warnings.warn(
                f"{self.source_name}: left out {left_out} {noun} of its validation and test parts, which have no "
                "label.",
                stacklevel=2,
            )
        noun = f"{noun} with labels" if with_labels else noun
        candidates, held, tests = ((usable & part).nonzero()[:, 0] for part in (train, validation, test))
        total = len(candidates)
        if len(tests) == 0:
            candidates, tests = self._cut(labels, candidates, self.test_fraction)
        if len(held) == 0:
            candidates, held = self._cut(labels, candidates, self.validation_fraction)
        if len(candidates) == 0:
            few = f"{self.source_name} has too few {noun} to train, validate and test ({total}). {self.finer}"
            raise InputError(few.rstrip())
        if self.train_size is not None:
            if self.train_size > len(candidates):
                raise InputError(
                    f"train_size is {self.train_size}, but {self.source_name} has {len(candidates)}: lower it."
                )
            candidates = candidates[hold_out(labels[candidates], self.train_size)[1]]
        return Split(candidates, held, tests, (unlabelled | (train & ~usable)).nonzero()[:, 0])

    def warn_of_shared(self, hashes: np.ndarray, parts: Sequence[Tensor], noun: str) -> None:
        """Counts the held-out examples whose exact copies a method or a probe sees before.

        Args:
            hashes: ``(N,)`` uint64 of all of the source's examples, equal for equal ones.
            parts: positions of the examples to train on, and of those held out, part by part.
            noun: what examples are called.
        """
        self.content_hashes = [hashes[part.numpy()] for part in parts]
        shared = count_shared(hashes, parts)
        if shared:
            held = sum(len(part) for part in parts[1:])
            warnings.warn(
                f"{self.source_name}: {shared:,} of {held:,} {noun} for validation and testing are exact copies of "
                "ones in another part, which flatters the numbers.",
                stacklevel=3,
            )

    def _cut(self, labels: Tensor, candidates: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
        """The candidates that stay, and a part of them that is held out; one at least, where there is one."""
        kept, held = hold_out(labels[candidates], min(len(candidates), max(1, round(fraction * len(candidates)))))
        return candidates[kept], candidates[held]

    def train_dataloader(self) -> TrainLoader:
        """Shuffled batches, in an order that a resumed run takes up where it was left."""
        return self.shuffled(self.pretrain_set, self.batch_size, self.order_seed, self.trainer)

    def shuffled(self, examples: Examples, batch_size: int, seed: int, trainer: L.Trainer | None = None) -> TrainLoader:
        """Shuffled batches of some examples, as methods are trained on them.

        Args:
            examples: a part of this data.
            batch_size: over all processes together.
            seed: seed of the order.
            trainer: trainer of the run; None stands for a single process.

        Raises:
            InputError: there are fewer examples, or the processes cannot share a batch evenly.
        """
        return train_loader(examples, batch_size, seed, self.num_workers, trainer)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation set, in a random order that is always the same: its first batches stand for all of them.

        So `limit_val_batches` and the health figures, which take the first ones, see every class.
        """
        return self._in_order(self.as_validated(self.validation_set), fixed_order(len(self.validation_set)))

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test set, in such an order too."""
        return self._in_order(self.as_validated(self.test_set), fixed_order(len(self.test_set)))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The part called `predicted` in order."""
        return self._in_order(self.predicted_set)

    @property
    def predicted_set(self) -> Examples:
        """The part called `predicted`."""
        parts = {"train": self.train_set, "validation": self.validation_set, "pretrain": self.pretrain_set}
        return parts.get(self.predicted, self.test_set)

    def as_validated(self, examples: Examples) -> Examples:
        """A part of the data as `val_dataloader` gives the validation set; as it is unless a subclass cuts it."""
        return examples

    def _in_order(self, examples: Examples, order: Tensor | None = None) -> DataLoader[Batch]:
        return ordered_loader(examples, self.batch_size, self.num_workers, self.trainer, order)

    def state_dict(self) -> dict[str, Any]:
        """The seed of the order, and the split where it is known."""
        split = self.split_record()
        return {"order_seed": self.order_seed, **({} if split is None else {"split": split})}

    def remember(self, state_dict: dict[str, Any]) -> None:
        """Takes what a checkpoint keeps of the data, which has to be split so when it is read later.

        Args:
            state_dict: what `state_dict` of such data gave.
        """
        self.kept = state_dict
        self.order_seed = state_dict.get("order_seed", self.order_seed)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a checkpoint's order.

        Raises:
            InputError: the checkpoint was trained on another split, or as `read`.
        """
        self.remember(state_dict)
        if hasattr(self, "train_set"):
            self._require_same_split()
        self.setup()

    def _require_same_split(self) -> None:
        here = self.split_record()
        if self.kept is not None and here is not None:
            self.split_remark = require_same_split(self.kept.get("split"), here, self.allow_other_split)

    def read_like(self, other: "DataModule") -> None:
        """Takes from the data that a run was trained on how inputs are made; nothing unless a subclass learns it.

        Args:
            other: data of the same kind, described or set up.
        """

    def split_record(self) -> SplitRecord | None:
        """How the data is split, or was by a checkpoint where it is not read; None where nobody knows."""
        if not hasattr(self, "train_set"):
            return None if self.kept is None else self.kept.get("split")
        return {
            "source": self.source_name,
            "hash": self.split_hash,
            "train": len(self.train_set),
            "validation": len(self.validation_set),
            "test": len(self.test_set),
            "pretrain": len(self.pretrain_set),
        }


def check_at_least(least: int, **settings: int | None) -> None:
    """Refuses numbers that are too small; None is no number.

    Raises:
        InputError: one is.
    """
    for name, value in settings.items():
        if value is not None and value < least:
            raise InputError(f"{name} is {value}: it must be at least {least}.")


def data_of(trainer: L.Trainer) -> DataModule:
    """The data module that a trainer was given.

    Raises:
        InputError: it was given bare loaders, or a data module of another kind.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, DataModule):
        raise InputError("Probes and schedules ask the data module: give the Trainer a DataModule of ssl_zoo.")
    return data
