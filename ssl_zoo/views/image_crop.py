"""The random resized crop: boxes of random size and shape, each resized to the same square."""

import math

import torch
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import Draws
from ssl_zoo.views.base import between, require_at_least, require_probability, require_range
from ssl_zoo.views.image_geometry import apply_separable
from ssl_zoo.views.image_transform import ImageTransform

ATTEMPTS = 10  # boxes tried before the fallback, as in torchvision


def crop_boxes(
    draws: Tensor, height: int | Tensor, width: int | Tensor, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes for random resized crops, distributed as torchvision's `RandomResizedCrop` draws them.

    Area and log aspect ratio are uniform. Of ten tries the first that fits in the image counts; if none does, the box
    is the largest central one whose aspect ratio is allowed.

    Args:
        draws: ``(B, 2 * ATTEMPTS + 2)`` from [0, 1).
        height: height of the images, in whole pixels; one number, or ``(B,)`` float32.
        width: width of the images, in whole pixels; one number, or ``(B,)`` float32.
        scale: range of the box's area, as a fraction of the image's.
        ratio: range of width / height of the box.

    Returns:
        Top, left, height and width in whole pixels, each ``(B,)`` float32.
    """
    area, aspect, place = draws.split([ATTEMPTS, ATTEMPTS, 2], 1)
    height, width = (_of_each(side, draws) for side in (height, width))
    # A side is a row from here on, height above width: half the operations of one side at a time.
    limit = torch.stack([height, width], 1)[..., None]
    root_area = between(area, *scale).mul_(limit.prod(1)).sqrt_()
    root_aspect = between(aspect, 0.5 * math.log(ratio[0]), 0.5 * math.log(ratio[1])).exp_()
    sides = torch.stack([root_area / root_aspect, root_area * root_aspect], 1).round_()  # (B, 2, ATTEMPTS)
    # The fallback is a last try that always fits, so that one search serves both.
    fallback = torch.stack([width / ratio[0], height * ratio[1]], 1).round_()[..., None].minimum(limit)
    sides = torch.cat([sides, fallback], 2)
    fits = ((sides > 0) & (sides <= limit)).all(1)
    first = fits.byte().argmax(1)[:, None, None]
    box = sides.gather(2, first.expand(-1, 2, 1))

    room = limit - box
    corner = torch.where(first == ATTEMPTS, room / 2, place[..., None] * (room + 1)).floor_()
    # a draw just below one may round up to one past the last position
    (top, left), (box_height, box_width) = corner.minimum(room)[..., 0].unbind(1), box[..., 0].unbind(1)
    return top, left, box_height, box_width


def _of_each(side: int | Tensor, draws: Tensor) -> Tensor:
    """``(B,)`` float32, made on the device without a copy from the host."""
    return side if isinstance(side, Tensor) else draws.new_full((len(draws),), side)


def resize_weights(start: Tensor, length: Tensor, size: int, output_size: int, flip: Tensor | None = None) -> Tensor:
    """Antialiased bilinear interpolation of a stretch of pixels, as one matrix per example.

    When it shrinks, the triangle kernel widens with the step between output pixels. Pixels outside of the stretch have
    no weight.

    Args:
        start: ``(B,)``, the first pixel of the stretch.
        length: ``(B,)``, its length in pixels.
        size: pixels in the input.
        output_size: pixels in the output.
        flip: ``(B,)`` bool, reverse the output; None reverses nothing.

    Returns:
        ``(B, output_size, size)`` float32; every row sums to one.
    """
    step = (length / output_size)[:, None]
    place = torch.arange(0.5, output_size, device=start.device)
    if flip is not None:
        place = torch.where(flip[:, None], output_size - place, place)
    inverse_reach = 1 / step.clamp(min=1)
    centre = place * (step * inverse_reach)
    pixel = torch.arange(0.5, size, device=start.device) - start[:, None]
    inside = (pixel > 0) & (pixel < length[:, None])
    pixel = torch.where(inside, pixel * inverse_reach, math.inf)
    distance = (pixel[:, None, :] - centre[:, :, None]).abs_().clamp_(max=1)
    weights = 1 - distance
    return weights.div_(weights.sum(2, keepdim=True))


def cut_boxes(
    images: Tensor, start: Tensor, length: Tensor, output_size: tuple[int, int], flip: Tensor | None = None
) -> Tensor:
    """Cut a box out of each image and resize it.

    Args:
        images: ``(B, C, H, W)`` float32.
        start: ``(2, B)``, the boxes' tops, then their left sides, in pixels.
        length: ``(2, B)``, their heights, then their widths, in pixels.
        output_size: height and width of the output in pixels.
        flip: ``(B,)`` bool, which boxes are mirrored left and right; None for none.

    Returns:
        ``(B, C, *output_size)``.
    """
    height, width = images.shape[2:]
    if output_size[0] != output_size[1]:
        vertical = resize_weights(start[0], length[0], height, output_size[0])
        return apply_separable(images, vertical, resize_weights(start[1], length[1], width, output_size[1], flip))
    # Both sides at once, as twice as many rows of pixels; those beyond the end of the shorter side weigh nothing.
    flips = None if flip is None else torch.cat([torch.zeros_like(flip), flip])
    weights = resize_weights(start.flatten(), length.flatten(), max(height, width), output_size[0], flips)
    vertical, horizontal = weights.chunk(2)
    return apply_separable(images, vertical[..., :height], horizontal[..., :width])


class RandomResizedCrop(ImageTransform):
    """Cuts out a random box and resizes it (Szegedy et al., 2014, arXiv 1409.4842), as torchvision's of the same name.

    Bilinear interpolation with antialiasing. A horizontal flip can ride along for free.

    Args:
        size: side of the square output in pixels; None keeps the size of the input.
        scale: range of the box's area, as a fraction of the image's.
        ratio: range of width / height of the box.
        flip: probability of mirroring left and right.
    """

    numbers = 2 * ATTEMPTS + 3

    def __init__(
        self,
        size: int | None = None,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.0,
    ) -> None:
        super().__init__()
        require_range("RandomResizedCrop's scale", scale)
        require_range("RandomResizedCrop's ratio", ratio)
        require_probability("RandomResizedCrop's flip", flip)
        if scale[1] > 1:
            raise InputError(f"RandomResizedCrop's scale ends at {scale[1]}; an area fraction is at most 1.")
        if size is not None:
            require_at_least("RandomResizedCrop's size", size, 1)
        self.size, self.scale, self.ratio, self.flip = size, scale, ratio, flip

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        height, width = images.shape[2:]
        height, width = images.shape[2:]
        top, left, box_height, box_width = crop_boxes(draws.uniform[:, 1:], height, width, self.scale, self.ratio)
        start, length = torch.stack([top, left]), torch.stack([box_height, box_width])
        return cut_boxes(images, start, length, (self.size or height, self.size or width), self.flipped(draws))

    def flipped(self, draws: Draws) -> Tensor | None:
        """``(B,)`` bool, which images are mirrored; None when none ever is."""
        return draws.uniform[:, 0] < self.flip if self.flip else None
