"""What a person sees of raw inputs."""

from collections.abc import Sequence
from pathlib import Path
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


def save_grid(images: Tensor, row: int, names: Sequence[str], path: Path, least: int) -> None:
    """Writes images as one PNG, small ones enlarged without smoothing, with the names of their rows on the left.

    Args:
        images: ``(N, 3, H, W)`` float in [0, 1].
        row: images in a row.
        names: a name for each row; without any there is no margin for them.
        path: PNG file; the folder is made.
        least: pixels that an image is to be wide at least.
    """
    from PIL import Image, ImageDraw, ImageFont
    from torchvision.transforms.functional import to_pil_image
    from torchvision.utils import make_grid

    grid = make_grid(images, nrow=row, pad_value=1.0)
    scale = max(1, least // images.shape[-1])
    picture = to_pil_image(grid.repeat_interleave(scale, 1).repeat_interleave(scale, 2).clamp(0, 1))
    if names:
        font = ImageFont.load_default(size=14)
        margin = 16 + round(max(font.getlength(name) for name in names))
        with_names = Image.new("RGB", (picture.width + margin, picture.height), "white")
        with_names.paste(picture, (margin, 0))
        draw, height = ImageDraw.Draw(with_names), picture.height / len(names)
        for place, name in enumerate(names):
            draw.text((margin - 6, (place + 0.5) * height), name, fill="black", font=font, anchor="rm")
        picture = with_names
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
