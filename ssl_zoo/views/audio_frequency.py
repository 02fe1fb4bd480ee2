"""Operators in frequency."""

import math

import torch
from torch import Tensor

from ssl_zoo.randomness import Draws
from ssl_zoo.views.audio_time import covered
from ssl_zoo.views.audio_transform import AudioTransform
from ssl_zoo.views.base import require_at_least, require_probability


def mel(hertz: Tensor) -> Tensor:
    """Frequencies on the mel scale, on which equal steps sound equally wide (O'Shaughnessy, 1987)."""
    return 2595 * torch.log10(1 + hertz / 700)


class FrequencyMasks(AudioTransform):
    """Removes bands of frequencies, as frequency masking does in SpecAugment (Park et al., 2019, arXiv:1904.08779).

    It works on the waveform (band rejection: Kharitonov et al., 2020, arXiv:2007.00991), so that whatever an encoder
    reads of it, the band is gone: the spectrum of the whole waveform is set to zero there.

    Args:
        count: bands in every waveform; they may overlap.
        width: the widest band, as a part of the mel scale from 0 to half the sample rate; widths are uniform from 0 on.
        sample_rate: samples per second.
    """

    def __init__(self, count: int, width: float, sample_rate: int = 16000) -> None:
        super().__init__()
        require_at_least("FrequencyMasks' count", count, 1)
        require_probability("FrequencyMasks' width", width)
        self.count, self.width, self.sample_rate = count, width, sample_rate
        self.numbers = 2 * count

    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """See `AudioTransform`."""
        low, high = self.bands(draws)
        samples = waveforms.shape[1]
        hertz = torch.arange(samples // 2 + 1, device=waveforms.device) * (self.sample_rate / samples)
        removed = covered(mel(hertz), low, high)
        return torch.fft.irfft(torch.fft.rfft(waveforms).masked_fill(removed, 0), samples)

    def bands(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The bands of every waveform.

        Args:
            draws: ``(B, numbers)``.

        Returns:
            Lower and upper ends, each ``(B, count)`` in mel.
        """
        width, place = draws.uniform.split(self.count, 1)
        top = 2595 * math.log10(1 + self.sample_rate / 2 / 700)
        widths = width * (self.width * top)
        low = place * (top - widths)
        return low, low + widths
