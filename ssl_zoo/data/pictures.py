"""What a person sees of raw inputs."""

from typing import NamedTuple

import torch
from torch import Tensor


class Picture(NamedTuple):
    """Inputs as images.

    Attributes:
        images: ``(B, 3, H, W)`` float32 in [0, 1].
        extent: what the left, right, bottom and top edges stand for; None where axes would say nothing.
        axes: what the horizontal and the vertical axis are called.
    """

    images: Tensor
    extent: tuple[float, float, float, float] | None = None
    axes: tuple[str, str] = ("", "")


def as_colours(images: Tensor) -> Tensor:
    """``(N, 3, H, W)`` of ``(N, C, H, W)``: grey as it is, of two channels their mean, of more the first three."""
    images = images.mean(1, keepdim=True) if images.shape[1] == 2 else images[:, :3]
    return images.expand(-1, 3, -1, -1)


def in_colour_map(values: Tensor, name: str) -> Tensor:
    """``(B, 3, H, W)`` in [0, 1], numbers shown as colours, each image from its least to its greatest.

    Args:
        values: ``(B, H, W)``.
        name: name of matplotlib's colour map.
    """
    from matplotlib import colormaps

    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    shares = (values - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    colours = torch.from_numpy(colormaps[name](shares.numpy())[..., :3]).float()
    return colours.permute(0, 3, 1, 2)
