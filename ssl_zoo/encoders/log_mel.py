"""Log-mel spectrograms: what a front end, and the baseline that probes compare with, make of waveforms."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ssl_zoo.encoders.waveforms import fit_length, frame_mask, normalize_waveforms, silence_padding

WINDOW, HOP = 0.025, 0.010  # seconds, the customary ones for speech
_SILENT_POWER = 1e-3  # power below which a band counts as silent; speech of unit variance has about 1 to 1e4
_SCALE = 4.5  # standard deviation of the logarithms over recordings of speech; their mean is about 0
SILENCE = math.log(_SILENT_POWER) / _SCALE  # the lowest value of a spectrogram
LOUD = 3.0  # white in the picture of one; speech of unit variance hardly ever gets there


def log_mel(
    waveforms: Tensor, mask: Tensor | None = None, sample_rate: int = 16000, mels: int = 80, normalize: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Log-mel spectrograms of waveforms, without gradients and in float32.

    A frame is real when its whole window is; there is no padding at either end. A recording shorter than a window is
    continued with silence. Every recording is brought to zero mean and unit variance over its real samples first, so
    that neither loudness nor padding matters.

    Args:
        waveforms: ``(B, S)`` float32 in [-1, 1].
        mask: ``(B, S)`` bool, True where real, with padding on the right; or None.
        sample_rate: samples per second.
        mels: frequency bands.
        normalize: whether recordings are brought to zero mean and unit variance.

    Returns:
        Spectrograms ``(B, N, mels)``, one frame every 10 ms, and their mask ``(B, N)`` bool, or None.
    """
    window, hop = window_and_hop(sample_rate)
    waves = normalize_waveforms(waveforms, mask) if normalize else silence_padding(waveforms, mask)
    waves = fit_length(waves, max(window, waves.shape[1]))
    return spectrogram(waves, sample_rate, mels), frame_mask(mask, waveforms.shape[1], window, hop)


@torch.no_grad()
def spectrogram(waves: Tensor, sample_rate: int, mels: int) -> Tensor:
    """Log-mel energies on one fixed scale, which brings speech of unit variance to about [-2, 2].

    Args:
        waves: ``(B, S)`` float32, zero in padding, at least one window long.
        sample_rate: samples per second.
        mels: frequency bands.

    Returns:
        ``(B, N, mels)`` float32.
    """
    return _log_energies(waves.float().unfold(1, *window_and_hop(sample_rate)), sample_rate, mels)


@torch.no_grad()
def covered_frames(
    waveforms: Tensor, mask: Tensor | None, places: int, receptive_field: int, stride: int, sample_rate: int, mels: int
) -> Tensor:
    """The log-mel frames that places in a row cover, side by side, of recordings normalised as by `log_mel`.

    A place stands for as many frames as its stride is long, in the middle of what it sees; where that is shorter than
    a frame, they begin with it.

    Args:
        waveforms: ``(B, S)`` float32 in [-1, 1].
        mask: ``(B, S)`` bool, True where real, with padding on the right; or None.
        places: number N of the places; place n sees `receptive_field` samples from ``n * stride`` on.
        receptive_field: samples that a place sees.
        stride: samples from one place to the next.
        sample_rate: samples per second.
        mels: frequency bands.

    Returns:
        ``(B, N, frames * mels)`` float32, frames being `frames_covered`, one after the other.
    """
    window, hop = window_and_hop(sample_rate)
    span = window + (frames_covered(stride, sample_rate) - 1) * hop
    first = (
        max(0, receptive_field - span) // 2 // hop * hop
    )  # on a frame of the encoder's own spectrogram, if it has one
    waves = normalize_waveforms(waveforms, mask).float()[:, first:]
    windows = fit_length(waves, (places - 1) * stride + span).unfold(1, span, stride).unfold(2, window, hop)
    return _log_energies(windows, sample_rate, mels).flatten(2)


def frames_covered(stride: int, sample_rate: int) -> int:
    """How many log-mel frames stand for a place of so many samples, at least one."""
    return max(1, round(stride / window_and_hop(sample_rate)[1]))


def _log_energies(windows: Tensor, sample_rate: int, mels: int) -> Tensor:
    """``(..., mels)`` float32 of windows of samples ``(..., window)`` float32, on the scale of `spectrogram`."""
    taper, filters = _taper_and_filters(sample_rate, mels, windows.device)
    with torch.autocast(windows.device.type, enabled=False):  # powers span more than bfloat16's three digits
        spectrum = torch.fft.rfft(windows * taper, n=2 * (len(filters) - 1))
        energies = torch.view_as_real(spectrum).square().sum(-1) @ filters
        return energies.clamp(min=_SILENT_POWER).log() / _SCALE


def window_and_hop(sample_rate: int) -> tuple[int, int]:
    """Samples that a frame of the spectrogram sees, and samples from one frame to the next."""
    return round(WINDOW * sample_rate), round(HOP * sample_rate)


@torch.compiler.assume_constant_result  # how filters are made cannot be traced
def _taper_and_filters(sample_rate: int, mels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """As `_make_taper_and_filters`, which makes them once."""
    return _make_taper_and_filters(sample_rate, mels, device)


@lru_cache
def _make_taper_and_filters(sample_rate: int, mels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hann window, and triangular mel filters ``(bins, mels)`` from 20 Hz up, for an FFT of a power of two samples."""
    from torchaudio.functional import melscale_fbanks

    window, _ = window_and_hop(sample_rate)
    bins = (1 << (window - 1).bit_length()) // 2 + 1
    filters = melscale_fbanks(bins, 20.0, sample_rate / 2, mels, sample_rate)
    return torch.hann_window(window, device=device), filters.to(device)
