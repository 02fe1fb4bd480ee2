"""Waveforms before and while they are cut into frames: their scale, their padding, and how many frames they have."""

import torch
from torch import Tensor
from torch.nn import functional as F


def frame_count(samples: int, receptive_field: int, stride: int) -> int:
    """Frames of a recording of so many samples whose whole window lies in it; at least 1."""
    return max(0, samples - receptive_field) // stride + 1


def frame_mask(mask: Tensor | None, samples: int, receptive_field: int, stride: int) -> Tensor | None:
    """Which frames are real, ``(B, N)`` bool or None, given which of so many samples are, ``(B, S)`` bool or None."""
    if mask is None:
        return None
    counts = (mask.sum(1) - receptive_field).clamp(min=0) // stride + 1
    return torch.arange(frame_count(samples, receptive_field, stride), device=mask.device) < counts[:, None]


def normalize_waveforms(inputs: Tensor, mask: Tensor | None) -> Tensor:
    """Zero mean and unit variance over each recording's real samples; zero in the padding.

    Args:
        inputs: ``(B, S)`` float32.
        mask: ``(B, S)`` bool or None.
    """
    if mask is None:
        variance, mean = torch.var_mean(inputs, 1, correction=0, keepdim=True)
        return (inputs - mean) * torch.rsqrt(variance + 1e-7)
    count = mask.sum(1, keepdim=True)
    centred = silence_padding(inputs, mask)
    centred = silence_padding(centred - centred.sum(1, keepdim=True) / count, mask)
    return centred * torch.rsqrt(centred.square().sum(1, keepdim=True) / count + 1e-7)


def silence_padding(inputs: Tensor, mask: Tensor | None) -> Tensor:
    """The waveforms ``(B, S)`` with zeros wherever `mask` ``(B, S)`` says padding; whatever was there, NaN included."""
    return inputs if mask is None else inputs.masked_fill(~mask, 0)


def fit_length(inputs: Tensor, length: int) -> Tensor:
    """Waveforms ``(B, S)`` continued with zeros, or cut, to ``(B, length)``."""
    return F.pad(inputs, (0, length - inputs.shape[1]))
