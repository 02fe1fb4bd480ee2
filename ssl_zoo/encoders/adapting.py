"""Weights for one size and number of channels, made to fit others."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def adapt_channels(kernel: Tensor, channels: int) -> Tensor:
    """A first convolution's kernel for another number of image channels.

    Grey images take the sum over the channels, which gives what three equal channels would. Other numbers take the
    channels in turn, as often as it needs, scaled so that the sum over them stays as large. timm does the same.

    Args:
        kernel: ``(D, C, H, W)``.
        channels: number of channels of the images.

    Returns:
        ``(D, channels, H, W)``.
    """
    before = kernel.shape[1]
    if channels == before:
        return kernel
    if channels == 1:
        return kernel.sum(1, keepdim=True)
    return kernel[:, [channel % before for channel in range(channels)]] * (before / channels)


def adapt_statistics(numbers: list[float] | None, channels: int) -> list[float] | None:
    """Means or standard deviations for as many channels: their average for one, and in turn for other numbers."""
    if numbers is None or len(numbers) == channels:
        return numbers
    if channels == 1:
        return [sum(numbers) / len(numbers)]
    return [numbers[channel % len(numbers)] for channel in range(channels)]


def to_grey(kernel: Tensor, bias: Tensor | None, mean: list[float], std: list[float]) -> tuple[Tensor, Tensor | None]:
    """A first convolution for grey images, whose one channel is normalised by the averages of `mean` and `std`.

    What a channel was normalised by goes into the kernel, and where it has a bias, into that: without padding the
    result is exactly what the image would give three times over, each channel normalised by its own numbers.

    Args:
        kernel: ``(D, C, H, W)``.
        bias: ``(D,)``, or None.
        mean: mean of each of the C channels.
        std: standard deviation of each of the C channels.

    Returns:
        Kernel ``(D, 1, H, W)`` and bias.
    """
    means, stds = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    exact = kernel.double()
    grey = (exact * (stds.mean() / stds)[:, None, None]).sum(1, keepdim=True)
    if bias is not None:
        bias = (bias.double() + exact.sum((2, 3)) @ ((means.mean() - means) / stds)).to(bias.dtype)
    return grey.to(kernel.dtype), bias


def resize_positions(positions: Tensor, side: int, antialias: bool) -> Tensor:
    """Position embeddings of a square of patches for another square, by bicubic interpolation.

    Args:
        positions: ``(1, 1 + N, D)``, that of the class token in front, which stays as it is.
        side: patches along a side of the new square.
        antialias: smooth before making it smaller, as timm and DINOv2 with registers do; ViT and DINOv2 in the
            transformers library do not.

    Returns:
        ``(1, 1 + side * side, D)``.
    """
    first, patches = positions[:, :1], positions[:, 1:]
    before = math.isqrt(patches.shape[1])
    if before == side:
        return positions
    grid = patches.unflatten(1, (before, before)).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False, antialias=antialias)
    return torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1)
