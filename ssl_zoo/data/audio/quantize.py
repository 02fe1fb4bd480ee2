"""From a decoded recording to one channel of 16-bit samples at one sample rate."""

from typing import NamedTuple

import numpy as np

from ssl_zoo.data.audio.sources.base import EMPTY, NOT_FINITE, ODD_RATE, SILENT, SPIKES, BadSound, Sound

FULL_SCALE = 32768
# Channels cancel out when their mean has less than this share of the power it has where they are independent.
CANCELLED = 0.1
# Rates further apart than this share hardly a sound, and the lower would need gigabytes at the higher.
MOST_RESAMPLED = 100
# Beside spikes, fewer of the samples than this stay above one step of 16 bits.
LEFT_BESIDE_SPIKES = 0.01


class Quantized(NamedTuple):
    """A recording as it is kept.

    Attributes:
        samples: ``(S,)`` int16.
        peak: peak of the waveform before it was scaled down to fit; at most 1 where it was not.
    """

    samples: np.ndarray
    peak: float


def quantize(sound: Sound, sample_rate: int) -> Quantized:
    """Mixes, resamples and rounds a recording; one that is too loud for 16 bits is scaled down as a whole.

    Args:
        sound: the recording.
        sample_rate: wanted, samples per second.

    Raises:
        BadSound: there is nothing in it, or something that is no sound.
    """
    samples = sound.samples
    if samples.dtype == np.int16 and samples.shape[1] == 1 and sound.sample_rate == sample_rate:
        return Quantized(_something(samples[:, 0]), 1.0)
    waveform = _resample(_mix(samples), sound.sample_rate, sample_rate)
    peak = float(np.abs(waveform).max(initial=0))
    if peak <= 1:
        return Quantized(_something(_rounded(waveform)), peak)
    scaled = _rounded(waveform / np.float32(peak))
    if np.count_nonzero(scaled) < LEFT_BESIDE_SPIKES * np.count_nonzero(waveform):
        raise BadSound(SPIKES)
    return Quantized(_something(scaled), peak)


def _mix(samples: np.ndarray) -> np.ndarray:
    """``(S,)`` float32, the mean of the channels, or the loudest one where they cancel each other out."""
    if not np.isfinite(samples).all():
        raise BadSound(NOT_FINITE)
    with np.errstate(over="ignore"):  # looked for in the next line
        waveform = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(waveform).all():  # the sum is beyond the numbers there are
        raise BadSound(SPIKES)
    channels = samples.shape[1]
    if channels > 1 and len(samples):
        power = np.array([samples[:, channel].var(dtype=np.float64) for channel in range(channels)])
        if waveform.var(dtype=np.float64) < CANCELLED * power.mean() / channels:
            waveform = samples[:, power.argmax()].astype(np.float32)
    return waveform / FULL_SCALE if samples.dtype == np.int16 else waveform


def _resample(waveform: np.ndarray, given: int, wanted: int) -> np.ndarray:
    """The waveform at another rate, by a filter whose size does not depend on the two rates' common divisor."""
    if given == wanted or len(waveform) == 0:
        return waveform
    if not 1 / MOST_RESAMPLED <= given / wanted <= MOST_RESAMPLED:
        raise BadSound(ODD_RATE)
    import soxr

    return soxr.resample(waveform, given, wanted)


def _rounded(waveform: np.ndarray) -> np.ndarray:
    # Full scale itself is one step more than the largest number.
    return np.rint(waveform * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _something(samples: np.ndarray) -> np.ndarray:
    if len(samples) == 0:
        raise BadSound(EMPTY)
    if not samples.any():
        raise BadSound(SILENT)
    return samples
