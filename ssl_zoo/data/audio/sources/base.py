"""What an audio source is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from ssl_zoo.data.splits import Part
from ssl_zoo.rebuilding import Rebuildable

UNLABELLED = -1
# What can be wrong with a recording.
EMPTY = "is empty"
CUT_SHORT = "is cut short: it has less than its header promises"
UNREADABLE = "is no sound that can be read"
DAMAGED = "is damaged: parts of it cannot be decoded"
CHANGES = "changes its sample rate or its channels midway"
SILENT = "is silent: every sample is zero, or too small for 16 bits"
ODD_RATE = "has a sample rate more than a hundred times above or below the one wanted"
NOT_FINITE = "has samples that are no finite numbers (NaN or infinity)"
SPIKES = "has samples so far beyond full scale that nothing is left of the others beside them"


class Sound(NamedTuple):
    """A decoded recording.

    Attributes:
        samples: ``(S, C)``, int16, or float, 1 being full scale.
        sample_rate: samples per second.
    """

    samples: np.ndarray
    sample_rate: int


class BadSound(Exception):
    """A recording that cannot be used; the message says why, in words that follow on "a file that"."""


class Segments(NamedTuple):
    """What is said when: segment k lasts from the end of segment k - 1, or from the beginning, to its own end.

    Attributes:
        ends: ``(K,)`` float64, ascending, in seconds.
        phones: ``(K,)`` int64, number of the phone that is said, or -1 where nobody knows.
    """

    ends: np.ndarray
    phones: np.ndarray


class Recording(NamedTuple):
    """One recording, decoded when it is asked for.

    Attributes:
        name: what it is called in messages: a path, say.
        identity: changes whenever the sound does, so that a decoded copy can be kept and found again.
        decode: gives the sound; raises `BadSound` when it cannot.
        label: number of its class, or -1 when it has none.
        part: the official part that it belongs to; `train` where there are none.
        tasks: numbers of its classes in further tasks, by the task's name; a task left out is unknown.
        segments: what is said when, or None.
    """

    name: str
    identity: str
    decode: Callable[[], Sound]
    label: int = UNLABELLED
    part: Part = "train"
    tasks: Mapping[str, int] = {}
    segments: Segments | None = None


class LoadedAudio(NamedTuple):
    """All that a source has.

    Attributes:
        recordings: always in the same order.
        classes: names of the classes in label order; empty without labels.
        tasks: further tasks: the names of their classes in the order of their numbers.
        phones: names of the phones that segments number; empty without segments.
    """

    recordings: list[Recording]
    classes: list[str]
    tasks: dict[str, list[str]]
    phones: list[str]


class AudioSource(Rebuildable, ABC):
    """One collection of recordings.

    A source is only a description: it can sit in a checkpoint, and nothing is read before `load`. Its attributes hold
    plain numbers and strings, so that `torch.load` accepts them.

    Attributes:
        name: what the data is called in tables.
        licence: under which terms the data may be used.
    """

    name: str
    licence: str

    def __init_subclass__(cls) -> None:
        """Lets a checkpoint that holds such a source be read with `weights_only`."""
        torch.serialization.add_safe_globals([cls])

    @abstractmethod
    def load(self) -> LoadedAudio:
        """Finds the recordings, and fetches them first where they are missing; decodes none.

        Raises:
            InputError: the data is missing and cannot be fetched, or its labels are damaged.
        """
