"""Nine patches of an image, three by three with gaps between them, for methods that predict how they lie."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, normal, uniform
from ssl_zoo.views.base import require_at_least

SIDE = 3  # patches along a side
PLACES = SIDE**2
START, SHAKE, COLOUR, NOISE = range(4)  # what an example's keys are folded with
# Deviation of grey values in [0, 1] below which a patch counts as flat: more contrast would show nothing but noise.
FLAT = 0.02
DROPPED_NOISE = 0.01  # deviation of what stands in a channel that was dropped, as a part of the channel's own


class Tiles(NamedTuple):
    """How patches lie, in pixels.

    Attributes:
        size: height and width of a patch.
        gap: pixels between two neighbours that are not shaken.
        jitter: largest shift of every patch by itself, up or down and left or right; twice this fits into a gap.
    """

    size: int
    gap: int
    jitter: int

    @property
    def reach(self) -> int:
        """Height and width of all nine together."""
        return SIDE * self.size + (SIDE - 1) * self.gap + 2 * self.jitter


def tiles_of(size: int, gap: float, jitter: float) -> Tiles:
    """Patches of a size, whose gaps and jitter are whole pixels, and one at least unless they are 0.

    Args:
        size: height and width of a patch in pixels.
        gap: pixels between neighbours, as a part of `size`.
        jitter: largest shift of a patch, as a part of `size`; at most half of `gap`.
    """
    shift = max(1, round(jitter * size)) if jitter else 0
    return Tiles(size, max(2 * shift, round(gap * size)), shift)


def fit_tiles(owner: str, height: int, width: int, size: int | None, gap: float, jitter: float) -> Tiles:
    """How nine patches lie in images of this size.

    Args:
        owner: name of the method, for the message.
        height: height of the images in pixels.
        width: width of the images in pixels.
        size: height and width of a patch in pixels; None for the largest that fits.
        gap: pixels between neighbours, as a part of a patch's side.
        jitter: largest shift of a patch, as a part of its side.

    Raises:
        InputError: nine such patches do not fit.
    """
    there = min(height, width)
    fitting = [side for side in range(1, there // SIDE + 1) if tiles_of(side, gap, jitter).reach <= there]
    if not fitting or (size is not None and size > fitting[-1]):
        what = "three patches of a pixel" if size is None else f"three patches of {size} pixels"
        reach = tiles_of(size or 1, gap, jitter).reach
        raise InputError(
            f"{owner} cuts images into {what} a side, which with gaps and jitter take {reach}, but these are {height} "
            f"x {width}: set patch_size to {fitting[-1]} at most."
            if fitting
            else f"{owner} cuts images into {what} a side, which with gaps and jitter take {reach}, but these are "
            f"{height} x {width}: set data.image_size to {reach} or more."
        )
    return tiles_of(fitting[-1] if size is None else size, gap, jitter)


def require_layout(owner: str, size: int | None, gap: float, jitter: float) -> None:
    """Raise `InputError` where a size, a gap or a jitter cannot be.

    Args:
        owner: name of the method, for the message.
        size: height and width of a patch in pixels, or None.
        gap: pixels between neighbours, as a part of a patch's side.
        jitter: largest shift of a patch, as a part of its side.
    """
    if size is not None:
        require_at_least(f"{owner}'s patch_size", size, 1)
    require_at_least(f"{owner}'s gap", gap, 0)
    require_at_least(f"{owner}'s jitter", jitter, 0)
    if 2 * jitter > gap:
        raise InputError(
            f"{owner}'s jitter is {jitter:g} and its gap {gap:g}, so that neighbours could overlap and show how they "
            "lie: set jitter to half of gap or less."
        )


@torch.no_grad()
def place_tiles(keys: Tensor, height: int, width: int, tiles: Tiles) -> Tensor:
    """Where the nine patches of every image begin: a grid that lies anywhere in it, each patch then shifted by itself.

    Args:
        keys: ``(B,)`` int64, one per image.
        height: height of the images in pixels.
        width: width of the images in pixels.
        tiles: how patches lie.

    Returns:
        ``(B, 9, 2)`` int64, rows and columns of their first pixels, the patches row by row.
    """
    draws = uniform(fold_in(keys, START), 1, 2)
    start = torch.stack([draws[..., axis] * (side - tiles.reach + 1) for axis, side in enumerate((height, width))], -1)
    along = torch.arange(SIDE, device=keys.device) * (tiles.size + tiles.gap)
    shifts = uniform(fold_in(keys, SHAKE), PLACES, 2) * (2 * tiles.jitter + 1)  # from 0 to twice the jitter
    return start.long() + torch.cartesian_prod(along, along) + shifts.long()


@torch.no_grad()
def cut_tiles(images: Tensor, corners: Tensor, size: int) -> Tensor:
    """Patches ``(B, K, C, size, size)`` of images ``(B, C, H, W)`` that begin at ``(B, K, 2)``, rows and columns."""
    pixels = torch.arange(size, device=images.device)
    rows = corners[:, :, 0, None, None] + pixels[:, None]
    columns = corners[:, :, 1, None, None] + pixels
    numbers = torch.arange(len(images), device=images.device)[:, None, None, None]
    return images.permute(0, 2, 3, 1)[numbers, rows, columns].permute(0, 1, 4, 2, 3)


def draw_tiles(owner: str, images: Tensor, keys: Tensor, size: int | None, gap: float, jitter: float) -> Tensor:
    """Nine patches ``(B, 9, C, S, S)`` of every image, row by row, from where `place_tiles` puts them.

    Args:
        owner: name of the method, for the message.
        images: ``(B, C, H, W)`` float32.
        keys: ``(B,)`` int64, one per image.
        size: height and width S of a patch in pixels; None for the largest that fits.
        gap: pixels between neighbours, as a part of a patch's side.
        jitter: largest shift of a patch, as a part of its side.

    Raises:
        InputError: nine such patches do not fit.
    """
    height, width = images.shape[2:]
    tiles = fit_tiles(owner, height, width, size, gap, jitter)
    return cut_tiles(images, place_tiles(keys, height, width, tiles), tiles.size)


@torch.no_grad()
def equalize(patches: Tensor, images: Tensor) -> Tensor:
    """Patches that all have the mean and the deviation of their image, channel by channel.

    What is brighter on one side, as the sky is above, would give places away. A flat patch stays flat.

    Args:
        patches: ``(B, K, C, S, S)`` float32 in [0, 1].
        images: ``(B, C, H, W)`` float32 in [0, 1].

    Returns:
        ``(B, K, C, S, S)``, some of it a little outside of [0, 1].
    """
    mean, std = (each[:, None, :, None, None] for each in (images.mean((2, 3)), images.std((2, 3), correction=0)))
    own_mean = patches.mean((3, 4), keepdim=True)
    own_std = patches.std((3, 4), correction=0, keepdim=True).clamp_min(FLAT)
    return mean + std * (patches - own_mean) / own_std


@torch.no_grad()
def drop_channels(patches: Tensor, keys: Tensor) -> Tensor:
    """Of every patch one channel, chosen at random; in the others there is its mean with a trace of noise.

    A lens bends colours apart towards the edges of a photograph, so that channels shifted against each other would give
    places away. Grey patches stay as they are.

    Args:
        patches: ``(B, K, C, S, S)`` float32.
        keys: ``(B,)`` int64, one per image.
    """
    count, channels = patches.shape[1:3]
    if channels == 1:
        return patches
    kept = (uniform(fold_in(keys, COLOUR), count) * channels).long()[..., None, None, None]
    is_kept = torch.arange(channels, device=patches.device)[:, None, None] == kept
    noise = DROPPED_NOISE * normal(fold_in(keys, NOISE), *patches.shape[1:])
    std, mean = torch.std_mean(patches, (3, 4), correction=0, keepdim=True)
    return torch.where(is_kept, patches, mean + std * noise)


@torch.no_grad()
def lay_out(patches: Tensor, places: Tensor, height: int, width: int) -> Tensor:
    """Pictures with patches at places of a grid of three by three, and grey between them.

    Args:
        patches: ``(B, K, C, S, S)`` in [0, 1].
        places: ``(B, K)`` int64, in [0, 9), row by row; of two patches at one place the later one is seen.
        height: height of the pictures in pixels, of at least three patches.
        width: width of the pictures in pixels, of at least three patches.

    Returns:
        ``(B, C, height, width)``.
    """
    size = patches.shape[-1]
    pictures = patches.new_full((len(patches), patches.shape[2], height, width), 0.5)
    for picture, own, where in zip(pictures, patches, places.tolist(), strict=True):
        for patch, place in zip(own, where, strict=True):
            row, column = place // SIDE * height // SIDE, place % SIDE * width // SIDE
            picture[:, row : row + size, column : column + size] = patch
    return pictures.clamp_(0, 1)


def resize_tiles(patches: Tensor, size: int) -> Tensor:
    """Patches ``(N, C, S, S)`` in another size, bilinear; those that have it as they are."""
    if patches.shape[-1] == size:
        return patches
    return torch.nn.functional.interpolate(patches, (size, size), mode="bilinear", antialias=True)
