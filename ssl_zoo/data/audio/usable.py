"""Which recordings of a source can be used, and what a user is to know of the others."""

import warnings
from collections import defaultdict
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.audio.pcm import PCM
from ssl_zoo.data.audio.sources.base import LoadedAudio
from ssl_zoo.errors import InputError

# A warning names so many of the files that it is about.
NAMED = 3
# A file that goes so many times beyond full scale is named. Decoders and resampling overshoot by less.
LOUD = 2


def usable(
    pcm: PCM, loaded: LoadedAudio, name: str, min_seconds: float, sample_rate: int, on_error: Literal["skip", "stop"]
) -> Tensor:
    """``(N,)`` int64, positions of the recordings without a fault; warns of the others, or stops.

    Args:
        pcm: samples of all recordings.
        loaded: what else is known of them.
        name: what the data is called in messages.
        min_seconds: length of the shortest recording that can be used.
        sample_rate: sample rate of `pcm`, in Hz.
        on_error: what a fault does.

    Raises:
        InputError: all recordings have faults or, when asked to stop, any.
    """
    reasons: dict[str, list[str]] = defaultdict(list)
    fine = []
    for position, (recording, size) in enumerate(zip(loaded.recordings, np.diff(pcm.offsets), strict=True)):
        reason = pcm.bad.get(position)
        if reason is None and size < min_seconds * sample_rate:
            reason = f"is shorter than min_seconds, {min_seconds} s"
        if reason is None:
            fine.append(position)
        else:
            reasons[reason].append(recording.name)
    for reason, names in reasons.items():
        if on_error == "stop":
            raise InputError(f"{names[0]} {reason}: remove it, or set the data's on_error to skip.")
        warnings.warn(
            f"{name}: left out {len(names)} of {len(loaded.recordings)} files, each of which {reason}: {_some(names)}.",
            stacklevel=3,
        )
    if not fine:
        raise InputError(f"{name} has no recording that can be used: choose another source.")
    loud = {loaded.recordings[place].name: peak for place, peak in pcm.peaks.items() if peak > LOUD}
    if loud:
        warnings.warn(
            f"{name}: {len(loud)} of {len(loaded.recordings)} files go beyond full scale, one "
            f"{max(loud.values()):,.0f} times, and were scaled down to it, each by its own loudest sample: "
            f"{_some(list(loud))}.",
            stacklevel=3,
        )
    return torch.tensor(fine)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
