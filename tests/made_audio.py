"""Recordings whose samples say where they come from."""

from functools import partial

import numpy as np
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.sources.base import UNLABELLED, AudioSource, LoadedAudio, Recording, Segments, Sound

RATE = 1000


def ramp(length: int) -> Sound:
    """Samples 1, 2, 3 ...: a stretch says where it begins, and none is zero."""
    return Sound(np.arange(1, length + 1, dtype=np.int16)[:, None], RATE)


class Ramps(AudioSource):
    """One recording per length.

    Args:
        lengths: in samples, below 32767.
        labels: of the recordings, or None.
        tests: positions of the official test set.
    """

    name = "Ramps"
    licence = "none"

    def __init__(self, lengths: list[int], labels: list[int] | None = None, tests: list[int] | None = None) -> None:
        self.lengths, self.labels, self.tests = lengths, labels, tests or []

    def load(self) -> LoadedAudio:
        recordings = [
            Recording(
                f"ramp {position}",
                f"ramp:{position}:{length}",
                partial(ramp, length),
                UNLABELLED if self.labels is None else self.labels[position],
                "test" if position in self.tests else "train",
                {"parity": position % 2} if position % 3 else {},
                Segments(np.array([0.01, 0.04]), np.array([1, 0])) if position % 2 else None,
            )
            for position, length in enumerate(self.lengths)
        ]
        classes = [] if self.labels is None else [str(label) for label in range(max(self.labels) + 1)]
        return LoadedAudio(recordings, classes, {"parity": ["even", "odd"]}, ["a", "b"])


def padded_noise(lengths: tuple[int, ...], samples: int) -> Batch:
    """Waveforms ``(B, samples)`` of these lengths, with zeros after them."""
    waves = torch.randn(len(lengths), samples, generator=torch.Generator().manual_seed(0)) * 0.3
    mask = torch.arange(samples) < torch.tensor(lengths)[:, None]
    return Batch(waves * mask, mask, None, torch.arange(10, 10 + len(lengths)))


# Hz, by phone.
PITCHES = (300, 700, 1500, 3000)


def tones(number: int, hum: int, hiss: float) -> Sound:
    """Tones of 40 to 120 ms, see `spell`, with a hum and a hiss."""
    ends, phones = spell(number)
    time = np.arange(int(ends[-1] * 16000)) / 16000
    pitch = np.array(PITCHES)[phones[np.searchsorted(ends, time, side="right").clip(max=len(ends) - 1)]]
    noise = hiss * np.random.default_rng(number).standard_normal(len(time))
    return Sound(
        (0.3 * np.sin(2 * np.pi * pitch * time) + 0.2 * np.sin(2 * np.pi * hum * time) + noise)[:, None], 16000
    )


def spell(number: int) -> Segments:
    """Which tone is heard when in a recording."""
    random = np.random.default_rng(number)
    lengths = random.uniform(0.04, 0.12, random.integers(8, 12))
    return Segments(np.cumsum(lengths), random.integers(0, len(PITCHES), len(lengths)))


class Tones(AudioSource):
    """Forty recordings of tones, the "phones"; a hum tells the "word", and a hiss the class.

    Args:
        labelled: whether there are classes.
    """

    name = "Tones"
    licence = "none"

    def __init__(self, labelled: bool = True) -> None:
        self.labelled = labelled

    def load(self) -> LoadedAudio:
        recordings = [
            Recording(
                f"tones {number}",
                f"tones:{number}",
                partial(tones, number, (5000, 6000)[number // 2 % 2], (0.01, 0.05)[number % 2]),
                number % 2 if self.labelled else UNLABELLED,
                "train",
                {"word": number // 2 % 2} if number % 7 else {},
                spell(number),
            )
            for number in range(40)
        ]
        classes = ["clear", "hissing"] if self.labelled else []
        return LoadedAudio(recordings, classes, {"word": ["low", "high"]}, [f"{pitch} Hz" for pitch in PITCHES])
