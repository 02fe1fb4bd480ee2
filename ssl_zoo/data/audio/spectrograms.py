"""Spectrograms to look at."""

import torch
from torch import Tensor

from ssl_zoo.data.pictures import Picture, in_colour_map

WINDOW_SECONDS = 0.025
# Added to amplitudes before the logarithm, so that silence is dark and not minus infinity.
QUIETEST = 1e-3


def picture_of_sound(waveforms: Tensor, sample_rate: int) -> Picture:
    """Spectrograms of ``(B, S)`` waveforms, from low to high and from the first to the last second.

    Args:
        waveforms: waveforms on the CPU.
        sample_rate: samples per second.
    """
    window = min(round(WINDOW_SECONDS * sample_rate), waveforms.shape[1])
    framed = waveforms.unfold(1, window, max(1, window // 4)) * torch.hann_window(window)
    decibels = 20 * torch.log10(torch.fft.rfft(framed).abs() + QUIETEST)
    colours = in_colour_map(decibels.transpose(1, 2).flip(1), "magma")
    return Picture(colours, (0.0, waveforms.shape[1] / sample_rate, 0.0, sample_rate / 2000), ("seconds", "kHz"))
