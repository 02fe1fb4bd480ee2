"""Operators that move pixels: flip, affine map and blur, and what a crop has in common with a blur.

Crops and blurs are linear and act on rows and columns apart. Per image they are therefore two small matrices, and two
batched products apply them to the whole batch, whatever each image's parameters: Y = vertical · X · horizontalᵀ.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import Draws
from ssl_zoo.views.base import between, require_at_least, require_probability, require_range
from ssl_zoo.views.image_transform import ImageTransform


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


class RandomHorizontalFlip(ImageTransform):
    """Mirrors left and right; after a `RandomResizedCrop`, that operator's own `flip` is cheaper.

    Args:
        probability: probability of mirroring an image.
    """

    numbers = 1

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        require_probability("RandomHorizontalFlip's probability", probability)
        self.probability = probability

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        selected = draws.uniform[..., None, None] < self.probability
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
        degrees: largest rotation either way, in degrees.
        translate: largest shift either way, as a fraction of the side.
        scale: range of the magnification.
        shear: largest shear along the rows either way, in degrees.
    """

    numbers = 5

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

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        signed = between(draws.uniform, -1, 1)
        scale = between(draws.uniform[:, 4], *self.scale)
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
        probability: probability of blurring an image.
    """

    numbers = 2

    def __init__(
        self, sigma: tuple[float, float] = (0.1, 2.0), kernel_fraction: float = 0.1, probability: float = 0.5
    ) -> None:
        super().__init__()
        require_range("GaussianBlur's sigma", sigma)
        require_probability("GaussianBlur's kernel_fraction", kernel_fraction)
        require_probability("GaussianBlur's probability", probability)
        self.sigma, self.kernel_fraction, self.probability = sigma, kernel_fraction, probability

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        height, width = images.shape[2:]
        shorter = min(height, width)
        kernel_size = max(3, 2 * (int(self.kernel_fraction * shorter) // 2) + 1)
        chance, width_draw = draws.uniform.unbind(1)
        # A Gaussian this narrow has all its weight on the centre: exactly the identity, without a branch.
        sigma = torch.where(chance < self.probability, between(width_draw, *self.sigma), 1e-3)
        vertical = blur_weights(sigma, kernel_size, height)
        horizontal = vertical if width == height else blur_weights(sigma, kernel_size, width)
        return apply_separable(images, vertical, horizontal)
