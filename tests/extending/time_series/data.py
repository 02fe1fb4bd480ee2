"""Time series for pretraining and probing."""

import hashlib

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.pictures import Picture
from ssl_zoo.data.splits import identity, split_hash
from ssl_zoo.tasks.labels import Labels, PlaceLabels, Places
from tests.extending.time_series.source import STATES, LoadedSeries, Rhythms


class Series(Examples):
    """Some of a source's series."""

    def __init__(self, loaded: LoadedSeries, chosen: Tensor) -> None:
        self.values, self.chosen = torch.from_numpy(loaded.values)[chosen], chosen
        self.labels = torch.from_numpy(loaded.labels)[chosen]
        self.states = torch.from_numpy(loaded.states)[chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> Batch:
        return Batch(self.values[positions], None, self.labels[positions], self.chosen[positions])


class SeriesData(DataModule):
    """Series ``(C, T)`` float32 of one source.

    Args:
        source: where they come from.
        batch_size: series per optimizer step.
        validation_fraction: of the training series.
        test_fraction: of all series.
    """

    train_set: Series
    validation_set: Series
    test_set: Series
    modality = "series"
    noun = "series"
    pictured = 3

    def __init__(
        self,
        source: Rhythms | None = None,
        batch_size: int = 16,
        validation_fraction: float = 0.2,
        test_fraction: float = 0.2,
    ) -> None:
        super().__init__(batch_size, None, validation_fraction, test_fraction, num_workers=0)
        self.save_hyperparameters()
        self.source = source or Rhythms()
        self.channels, self.source_name = self.source.channels, self.source.name

    def read(self) -> None:
        loaded = self.source.load()
        labels = torch.from_numpy(loaded.labels)
        train, validation, test, _ = self.split(labels, torch.zeros_like(labels), "series")
        self.classes = ["fast", "slow"]
        self.identity = identity(hashlib.sha256(loaded.values.tobytes()).hexdigest(), self.classes)
        self.split_hash = split_hash(self.identity, train, validation, test)
        parts = (Series(loaded, chosen) for chosen in (train, validation, test))
        self.train_set, self.validation_set, self.test_set = parts
        self.pretrain_set = self.train_set

    def tasks(self) -> dict[str, Labels]:
        """The classes, and at every fourth time step whether the series rises or falls."""
        places = {name: states(part) for name, part in self.parts().items()}
        return super().tasks() | {"state": PlaceLabels(list(STATES), places)}

    def parts(self) -> dict[str, Series]:
        """By name, of their own type."""
        return {"train": self.train_set, "validation": self.validation_set, "test": self.test_set}

    def picture(self, inputs: Tensor, fields: dict[str, Tensor] | None = None) -> Picture:
        """A row per channel, the darker the higher."""
        shares = ((inputs + 2) / 4).clamp(0, 1)
        images = (1 - shares)[:, None].expand(-1, 3, -1, -1)
        return Picture(images, (0.0, float(inputs.shape[2]), 0.0, float(inputs.shape[1])), ("time steps", "channel"))


def states(part: Series) -> Places:
    """The state at every fourth time step of every series."""
    count, length = part.states.shape
    steps = torch.arange(2, length, 4)
    return Places(
        torch.arange(count).repeat_interleave(len(steps)), steps.repeat(count), part.states[:, steps].flatten()
    )
