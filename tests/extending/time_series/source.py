"""Where time series come from: measurements of several channels, made here with a rhythm of its own for every class."""

from typing import NamedTuple

import numpy as np

from ssl_zoo.rebuilding import Rebuildable

PERIODS = (6, 16)  # time steps, by class
STATES = ("rising", "falling")


class LoadedSeries(NamedTuple):
    """All that a source has.

    Attributes:
        values: ``(N, C, T)`` float32.
        labels: ``(N,)`` int64, how fast the series swings.
        states: ``(N, T)`` int64, whether its first channel rises or falls at every time step.
    """

    values: np.ndarray
    labels: np.ndarray
    states: np.ndarray


class Rhythms(Rebuildable):
    """Noisy swings of two speeds, from random moments on.

    Args:
        count: how many series.
        channels: measurements at a time.
        length: time steps.
    """

    name = "Rhythms"
    licence = "none"

    def __init__(self, count: int = 120, channels: int = 3, length: int = 48) -> None:
        self.count, self.channels, self.length = count, channels, length

    def load(self) -> LoadedSeries:
        """Makes them, the same at every call."""
        random = np.random.RandomState(0)
        labels = np.arange(self.count) % len(PERIODS)
        begin = random.uniform(0, 2 * np.pi, (self.count, 1, 1))
        phase = begin + 2 * np.pi * np.arange(self.length) / np.array(PERIODS)[labels][:, None, None]
        lag = np.linspace(0, 1, self.channels)[:, None]
        values = np.sin(phase + lag) + 0.1 * random.randn(self.count, self.channels, self.length)
        states = (np.cos(phase[:, 0]) < 0).astype(np.int64)
        return LoadedSeries(values.astype(np.float32), labels, states)
