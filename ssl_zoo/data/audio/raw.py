"""Sounds as a user has them, in memory or in files, as inputs of an encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.quantize import FULL_SCALE, quantize
from ssl_zoo.data.audio.sources.base import BadSound, Sound
from ssl_zoo.data.audio.sources.sound_files import decode_file
from ssl_zoo.errors import InputError


def sounds_of(raw: Any, given_rate: int | None, sample_rate: int, most: int) -> Batch:
    """Sounds as a folder of them would give them: one channel, resampled, in 16 bits, padded on the right.

    Args:
        raw: a sound or a list of sounds: paths, or waveforms of one channel ``(S,)`` or several ``(S, C)`` or
            ``(C, S)``, int16 or float, 1 being full scale.
        given_rate: samples per second of waveforms; files say it themselves.
        sample_rate: samples per second wanted.
        most: samples of an input; a longer sound is cut there.

    Raises:
        InputError: there is none, one cannot be used, or waveforms come without their rate.
    """
    sounds = raw if isinstance(raw, list | tuple) else [raw]
    if not sounds:
        raise InputError("There is no sound to embed: give one, or a list of some.")
    samples = []
    for number, sound in enumerate(sounds):
        name = str(sound) if isinstance(sound, str | Path) else f"Sound {number}"
        try:
            samples.append(quantize(_decoded(sound, given_rate, name), sample_rate).samples[:most])
        except BadSound as reason:
            raise InputError(f"{name} {reason}: mend it or leave it out.") from reason
    lengths = np.array([len(each) for each in samples])
    real = np.arange(lengths.max()) < lengths[:, None]
    inputs = np.zeros(real.shape, dtype=np.float32)
    for row, each in zip(inputs, samples, strict=True):
        row[: len(each)] = each.astype(np.float32) / FULL_SCALE
    mask = None if real.all() else torch.from_numpy(real)
    return Batch(torch.from_numpy(inputs), mask, None, torch.arange(len(samples)))


def _decoded(sound: Any, rate: int | None, name: str) -> Sound:
    if isinstance(sound, str | Path):
        path = Path(sound).expanduser()
        if not path.is_file():
            raise InputError(f"There is no file {path}: give a sound file that exists.")
        return decode_file(path)
    array = sound.detach().cpu().numpy() if isinstance(sound, Tensor) else np.asarray(sound)
    if array.ndim not in (1, 2) or not (array.dtype == np.int16 or array.dtype.kind == "f"):
        raise InputError(
            f"{name} of shape {array.shape} and type {array.dtype} is no waveform: give a path, or int16 or float "
            "samples (S,) or (S, channels)."
        )
    if rate is None:
        raise InputError(f"{name} comes without its rate: give sample_rate, the samples per second of your waveforms.")
    if array.ndim == 1:
        return Sound(array[:, None], rate)
    return Sound(array.T if array.shape[0] < array.shape[1] else array, rate)  # no sound has more channels than samples
