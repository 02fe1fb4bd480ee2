"""Colours as lightness and two numbers for the hue, CIELAB."""

import torch
from torch import Tensor

from ssl_zoo.mixed_precision import in_full_precision

# Of sRGB (IEC 61966-2-1): what linear red, green and blue give of X, Y and Z, and these three of white (D65).
TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.950456, 1.0, 1.088754)


@in_full_precision
def to_lab(images: Tensor) -> Tensor:
    """CIELAB ``(B, 3, ...)`` of sRGB images ``(B, 3, ...)`` in [0, 1]: L in [0, 100], a and b in about [-110, 100]."""
    linear = torch.where(images <= 0.04045, images / 12.92, ((images.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    scale = images.new_tensor(TO_XYZ) / images.new_tensor(WHITE)[:, None]
    xyz = torch.einsum("rc,bc...->br...", scale, linear)
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp_min(0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


@in_full_precision
def to_rgb(lab: Tensor) -> Tensor:
    """SRGB images ``(B, 3, ...)`` in [0, 1] of CIELAB ``(B, 3, ...)``; what no screen can show is cut off there."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    curved = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(curved > 0.206893, curved**3, (curved - 16 / 116) / 7.787)
    scale = torch.linalg.inv(lab.new_tensor(TO_XYZ) / lab.new_tensor(WHITE)[:, None])
    linear = torch.einsum("rc,bc...->br...", scale, xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
