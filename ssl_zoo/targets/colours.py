"""Colours as lightness and two numbers for the hue, CIELAB, and those two in bins, to be predicted as classes."""

from functools import cache

import torch
from torch import Tensor

from ssl_zoo.mixed_precision import in_full_precision

# Of sRGB (IEC 61966-2-1): what linear red, green and blue give of X, Y and Z, and these three of white (D65).
TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.950456, 1.0, 1.088754)
GRID = 10.0  # width of a bin
LATTICE = 65  # colours along each of red, green and blue that are asked for their bins
NEAREST = 5  # bins that a colour is spread over
SPREAD = 5.0  # deviation of what it is spread by


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


@cache
def colour_bins() -> Tensor:
    """``(Q, 2)`` float32, a and b in the middle of every bin that some sRGB colour lies in; Q is 261.

    The paper has 313, counting bins at the edge that colours only touch.
    """
    along = torch.linspace(0, 1, LATTICE, dtype=torch.float64)
    lattice = torch.cartesian_prod(along, along, along)
    return (to_lab(lattice)[:, 1:] / GRID).round().unique(dim=0).mul(GRID).float()


@in_full_precision
def soft_bins(colours: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
    """Every colour spread over the five nearest bins (Zhang et al., 2016, arXiv:1603.08511, section 2.2).

    Args:
        colours: ``(N, 2)``, a and b.
        bins: ``(Q, 2)``.

    Returns:
        Weights ``(N, 5)`` that add up to one, the nearest bin's first, and the bins' numbers ``(N, 5)`` int64.
    """
    nearest = torch.cdist(colours, bins).topk(NEAREST, largest=False)
    weights = torch.softmax(-nearest.values.square() / (2 * SPREAD**2), 1)
    return weights, nearest.indices


@in_full_precision
def annealed_mean(logits: Tensor, bins: Tensor, temperature: float) -> Tensor:
    """The colour that stands for a distribution over bins (equation 5): its mean once it is sharpened.

    Args:
        logits: ``(..., Q)``.
        bins: ``(Q, 2)``.
        temperature: 1 gives the mean, which is pale, and towards 0 the likeliest bin, which is spotty.

    Returns:
        ``(..., 2)``, a and b.
    """
    return torch.softmax(logits.float() / temperature, -1) @ bins


def rebalanced(frequencies: Tensor, bins: Tensor, mixed: float) -> Tensor:
    """What the loss of every bin is multiplied by, so that rare colours count (equation 4).

    Args:
        frequencies: ``(Q,)``, how often every bin is the nearest, which add up to one.
        bins: ``(Q, 2)``.
        mixed: part of a uniform distribution that is mixed in, in (0, 1]; 1 leaves all bins alike.

    Returns:
        ``(Q,)``, whose mean over smoothed frequencies is one.
    """
    kernel = torch.softmax(-torch.cdist(bins, bins).square() / (2 * SPREAD**2), 1)
    smoothed = frequencies @ kernel
    weights = 1 / ((1 - mixed) * smoothed + mixed / len(bins))
    return weights / (smoothed * weights).sum()


def constant_loss(mass: Tensor) -> Tensor:
    """The least weighted cross-entropy of one prediction for everything, in nats: of what says nothing of an image.

    Args:
        mass: ``(Q,)``, the mean over colours of what each of them has of every bin, times the weight of its loss.
    """
    return torch.special.entr(mass / mass.sum()).sum() * mass.sum()
