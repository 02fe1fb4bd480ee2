"""Operators that move pixels: random crop, flip, affine map and blur.

Crop, flip and blur are linear and act on rows and columns apart. Per image they are therefore two small matrices, and
two batched products apply them to the whole batch, whatever each image's parameters: Y = vertical · X · horizontalᵀ.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.base import require_at_least, require_probability, require_range
from ssl_zoo.views.image_transform import ImageTransform

ATTEMPTS = 10  # boxes tried before the fallback, as in torchvision


def apply_separable(images: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Apply one linear map to the columns and one to the rows of each image.

    Args:
        images: ``(B, C, H, W)`` float.
        vertical: ``(B, H', H)``; each row sums to one.
        horizontal: ``(B, W', W)``; each row sums to one.

    Returns:
        ``(B, C, H', W')``, clamped to [0, 1] against rounding.
    """
    batch, channels, _, width = images.shape
    resized = torch.matmul(vertical[:, None], images)
    output = torch.bmm(resized.reshape(batch, -1, width), horizontal.transpose(1, 2))
    return output.view(batch, channels, vertical.shape[1], horizontal.shape[1]).clamp_(0, 1)


def crop_boxes(
    keys: Tensor, height: int | Tensor, width: int | Tensor, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes for random resized crops, distributed as torchvision's `RandomResizedCrop` draws them.

    Area and log aspect ratio are uniform. Of ten tries the first that fits in the image counts; if none does, the box
    is the largest central one whose aspect ratio is allowed.

    Args:
        keys: ``(B,)`` int64.
        height: of the images, in whole pixels; one number, or ``(B,)`` float32.
        width: likewise.
        scale: range of the box's area, as a fraction of the image's.
        ratio: range of width / height of the box.

    Returns:
        Top, left, height and width in whole pixels, each ``(B,)`` float32.
    """
    draws = uniform(keys, 2 * ATTEMPTS + 2)
    height, width = (_of_each(side, draws)[:, None] for side in (height, width))
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[:, :ATTEMPTS])
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    root_aspect = torch.exp(0.5 * (log_low + (log_high - log_low) * draws[:, ATTEMPTS:-2]))
    widths = (area.sqrt() * root_aspect).round()
    heights = (area.sqrt() / root_aspect).round()

    # The fallback is a last try that always fits, so that one search serves both.
    widths = torch.cat([widths, width.minimum((height * ratio[1]).round())], 1)
    heights = torch.cat([heights, height.minimum((width / ratio[0]).round())], 1)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.byte().argmax(1, keepdim=True)
    box_height = heights.gather(1, first)[:, 0]
    box_width = widths.gather(1, first)[:, 0]

    room_above, room_left = height[:, 0] - box_height, width[:, 0] - box_width
    fell_back = first[:, 0] == ATTEMPTS
    top = torch.where(fell_back, room_above / 2, draws[:, -2] * (room_above + 1)).floor()
    left = torch.where(fell_back, room_left / 2, draws[:, -1] * (room_left + 1)).floor()
    # a draw just below one may round up to one past the last position
    return top.minimum(room_above), left.minimum(room_left), box_height, box_width


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
    place = torch.arange(output_size, device=start.device, dtype=torch.float32)
    if flip is not None:
        place = torch.where(flip[:, None], output_size - 1 - place, place)
    inverse_reach = 1 / step.clamp(min=1)
    centre = (place + 0.5) * step * inverse_reach
    pixel = torch.arange(size, device=start.device) + 0.5 - start[:, None]
    inside = (pixel > 0) & (pixel < length[:, None])
    pixel = torch.where(inside, pixel * inverse_reach, math.inf)
    distance = (pixel[:, None, :] - centre[:, :, None]).abs_().clamp_(max=1)
    weights = 1 - distance
    return weights.div_(weights.sum(2, keepdim=True))


class RandomResizedCrop(ImageTransform):
    """Cuts out a random box and resizes it (Szegedy et al., 2014, arXiv 1409.4842), as torchvision's of the same name.

    Bilinear interpolation with antialiasing. A horizontal flip can ride along for free.

    Args:
        size: side of the square output in pixels; None keeps the size of the input.
        scale: range of the box's area, as a fraction of the image's.
        ratio: range of width / height of the box.
        flip: probability of mirroring left and right.
    """

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

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `ImageTransform`."""
        height, width = images.shape[2:]
        top, left, box_height, box_width = crop_boxes(keys, height, width, self.scale, self.ratio)
        vertical = resize_weights(top, box_height, height, self.size or height)
        horizontal = resize_weights(left, box_width, width, self.size or width, self.flipped(keys))
        return apply_separable(images, vertical, horizontal)

    def flipped(self, keys: Tensor) -> Tensor | None:
        """``(B,)`` bool, which images are mirrored; None when none ever is."""
        return uniform(fold_in(keys, 1), 1)[:, 0] < self.flip if self.flip else None


class RandomHorizontalFlip(ImageTransform):
    """Mirrors left and right; after a `RandomResizedCrop`, that operator's own `flip` is cheaper.

    Args:
        probability: of mirroring an image.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        require_probability("RandomHorizontalFlip's probability", probability)
        self.probability = probability

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `ImageTransform`."""
        selected = uniform(keys, 1, 1, 1) < self.probability
        return torch.where(selected, images.flip(-1), images)


def affine(images: Tensor, angle: Tensor, shift: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
    """Rotate, scale, shear and shift each image about its centre; bilinear, zero outside, as torchvision's `affine`.

    Args:
        images: ``(B, C, H, W)`` float32.
        angle: ``(B,)`` degrees, clockwise.
        shift: ``(B, 2)``, right and down, as a fraction of width and height.
        scale: ``(B,)``.
        shear: ``(B,)`` degrees, along the rows.

    Returns:
        ``(B, C, H, W)`` float32.
    """
    height, width = images.shape[2:]
    cosine, sine, tangent = angle.deg2rad().cos(), angle.deg2rad().sin(), shear.deg2rad().tan()
    # Output pixels are mapped back to the input: the inverse of shift · rotation · scale · shear. Coordinates run from
    # -1 to 1 along each side, whatever its length.
    xx = (cosine - sine * tangent) / scale
    xy = (sine + cosine * tangent) / scale * (height / width)
    yx = -sine / scale * (width / height)
    yy = cosine / scale
    right, down = 2 * shift[:, 0], 2 * shift[:, 1]
    inverse = torch.stack([xx, xy, -xx * right - xy * down, yx, yy, -yx * right - yy * down], 1).view(-1, 2, 3)
    grid = functional.affine_grid(inverse, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False).clamp_(0, 1)


class RandomAffine(ImageTransform):
    """Rotates, scales, shears and shifts, each uniformly at random, about the image's centre; what enters is black.

    As torchvision's of the same name, but shifts are not rounded to whole pixels.

    Args:
        degrees: largest rotation either way.
        translate: largest shift either way, as a fraction of the side.
        scale: range of the magnification.
        shear: largest shear along the rows either way, in degrees.
    """

    def __init__(
        self,
        degrees: float = 0.0,
        translate: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
    ) -> None:
        super().__init__()
        require_at_least("RandomAffine's degrees", degrees, 0)
        require_at_least("RandomAffine's translate", translate, 0)
        require_range("RandomAffine's scale", scale)
        require_at_least("RandomAffine's shear", shear, 0)
        if shear >= 90:
            raise InputError(f"RandomAffine's shear is {shear} degrees; give less than 90.")
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `ImageTransform`."""
        draws = uniform(keys, 5)
        signed = 2 * draws - 1
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, 4]
        return affine(
            images, self.degrees * signed[:, 0], self.translate * signed[:, 1:3], scale, self.shear * signed[:, 3]
        )


def blur_weights(sigma: Tensor, kernel_size: int, size: int) -> Tensor:
    """Gaussian blur of a row of pixels with reflected ends, as one matrix per example.

    Args:
        sigma: ``(B,)`` standard deviation in pixels.
        kernel_size: odd, at most ``2 * size - 1``.
        size: pixels in the row.

    Returns:
        ``(B, size, size)`` float32; every row sums to one.
    """
    pixel = torch.arange(size, device=sigma.device)
    offset = torch.arange(kernel_size, device=sigma.device) - kernel_size // 2
    kernel = torch.softmax(-0.5 * (offset / sigma[:, None]) ** 2, 1)
    source = (pixel + offset[:, None]).abs()
    source = size - 1 - (size - 1 - source).abs()
    placed = (source[:, :, None] == pixel).float()  # (kernel_size, size, size): where each tap of the kernel reads
    return (kernel @ placed.flatten(1)).view(-1, size, size)


class GaussianBlur(ImageTransform):
    """Blurs with a Gaussian of random width (Chen et al., 2020, arXiv 2002.05709, appendix A).

    Args:
        sigma: range of the standard deviation, in pixels.
        kernel_fraction: kernel size as a fraction of the image's shorter side, made odd and at least 3.
        probability: of blurring an image.
    """

    def __init__(
        self, sigma: tuple[float, float] = (0.1, 2.0), kernel_fraction: float = 0.1, probability: float = 0.5
    ) -> None:
        super().__init__()
        require_range("GaussianBlur's sigma", sigma)
        require_probability("GaussianBlur's kernel_fraction", kernel_fraction)
        require_probability("GaussianBlur's probability", probability)
        self.sigma, self.kernel_fraction, self.probability = sigma, kernel_fraction, probability

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `ImageTransform`."""
        height, width = images.shape[2:]
        shorter = min(height, width)
        kernel_size = max(3, 2 * (int(self.kernel_fraction * shorter) // 2) + 1)
        draws = uniform(keys, 2)
        sigma = self.sigma[0] + (self.sigma[1] - self.sigma[0]) * draws[:, 1]
        # A Gaussian this narrow has all its weight on the centre: exactly the identity, without a branch.
        sigma = torch.where(draws[:, 0] < self.probability, sigma, 1e-3)
        vertical = blur_weights(sigma, kernel_size, height)
        horizontal = vertical if width == height else blur_weights(sigma, kernel_size, width)
        return apply_separable(images, vertical, horizontal)
