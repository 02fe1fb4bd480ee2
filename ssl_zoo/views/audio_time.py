"""Operators in time: crop, gain, polarity, noise and spans of silence."""

import torch
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import Draws, normal
from ssl_zoo.views.audio_transform import AudioTransform
from ssl_zoo.views.base import between, require_at_least, require_probability


def require_decibels(name: str, value: tuple[float, float]) -> None:
    """Raise `InputError` unless `value` is an increasing pair of finite numbers.

    Args:
        name: the argument, for the message.
        value: what the user gave.
    """
    if not -float("inf") < value[0] <= value[1] < float("inf"):
        raise InputError(f"{name} is [{value[0]}, {value[1]}]; give a smaller and a larger number of decibels.")


def covered(axis: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Which points of an axis lie in one of some intervals.

    Args:
        axis: ``(S,)``.
        low: ``(B, count)`` lower ends, which belong to the intervals.
        high: ``(B, count)`` upper ends, which do not.

    Returns:
        ``(B, S)`` bool.
    """
    inside = torch.zeros(len(low), len(axis), dtype=torch.bool, device=axis.device)
    for number in range(low.shape[1]):  # one at a time: all at once would be a tensor `count` times as large
        inside |= (axis >= low[:, number, None]) & (axis < high[:, number, None])
    return inside


class WaveformCrop(AudioTransform):
    """Takes a stretch of every waveform, at a random place.

    Args:
        seconds: length of the crop.
        sample_rate: samples per second.
    """

    numbers = 1

    def __init__(self, seconds: float, sample_rate: int = 16000) -> None:
        super().__init__()
        self.seconds, self.length = seconds, round(seconds * sample_rate)
        require_at_least("WaveformCrop's length in samples", self.length, 1)

    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """See `AudioTransform`; raises `InputError` when the waveforms are shorter than the crop."""
        room = waveforms.shape[1] - self.length
        if room < 0:
            raise InputError(
                f"A view of {self.seconds} s ({self.length} samples) cannot be cut from waveforms of "
                f"{waveforms.shape[1]} samples: shorten the views, or lengthen the data's crop_seconds."
            )
        starts = (draws.uniform.double() * (room + 1)).long()
        return waveforms.gather(1, starts + torch.arange(self.length, device=starts.device))


class WaveformGain(AudioTransform):
    """Makes every waveform louder or softer.

    Args:
        decibels: range of the change of loudness.
    """

    numbers = 1

    def __init__(self, decibels: tuple[float, float]) -> None:
        super().__init__()
        require_decibels("WaveformGain's decibels", decibels)
        self.decibels = decibels

    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """See `AudioTransform`."""
        return waveforms * 10 ** (between(draws.uniform, *self.decibels) / 20)


class PolarityFlip(AudioTransform):
    """Turns a waveform upside down, which is inaudible.

    Args:
        probability: probability of turning a waveform.
    """

    numbers = 1

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        require_probability("PolarityFlip's probability", probability)
        self.probability = probability

    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """See `AudioTransform`."""
        return waveforms * torch.where(draws.uniform < self.probability, -1.0, 1.0)


class WaveformNoise(AudioTransform):
    """Adds white noise at a random distance from the power of the waveform.

    Args:
        snr: range of the ratio of signal to noise, in decibels.
        probability: probability of adding noise.
    """

    numbers = 3

    def __init__(self, snr: tuple[float, float], probability: float = 1.0) -> None:
        super().__init__()
        require_decibels("WaveformNoise's snr", snr)
        require_probability("WaveformNoise's probability", probability)
        self.snr, self.probability = snr, probability

    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """See `AudioTransform`."""
        ratio, chance, _ = draws.uniform.split(1, 1)
        loudness = waveforms.square().mean(1, keepdim=True).sqrt()
        level = loudness * 10 ** (-between(ratio, *self.snr) / 20) * (chance < self.probability)
        return torch.addcmul(waveforms, level, normal(draws.keys[:, 2], waveforms.shape[1]))


class TimeMasks(AudioTransform):
    """Silences spans, as time masking does in SpecAugment (Park et al., 2019, arXiv:1904.08779).

    Args:
        count: spans in every waveform; they may overlap.
        seconds: the longest span; lengths are uniform from 0 on.
        sample_rate: samples per second.
    """

    def __init__(self, count: int, seconds: float, sample_rate: int = 16000) -> None:
        super().__init__()
        require_at_least("TimeMasks' count", count, 1)
        require_at_least("TimeMasks' seconds", seconds, 0)
        self.count, self.longest = count, seconds * sample_rate
        self.numbers = 2 * count

    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """See `AudioTransform`."""
        samples = waveforms.shape[1]
        length, place = draws.uniform.split(self.count, 1)
        lengths = (length * min(self.longest, samples)).round()
        starts = (place * (samples - lengths + 1)).floor()
        silent = covered(torch.arange(samples, device=length.device, dtype=torch.float32), starts, starts + lengths)
        return waveforms.masked_fill(silent, 0)
