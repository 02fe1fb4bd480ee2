"""Colours in bins, CIELAB's a and b, to be predicted as classes."""

from functools import cache

import torch
from torch import Tensor

from ssl_zoo.encoders.lab import to_lab
from ssl_zoo.mixed_precision import in_full_precision

GRID = 10.0  # width of a bin
LATTICE = 65  # colours along each of red, green and blue that are asked for their bins
NEAREST = 5  # bins that a colour is spread over
SPREAD = 5.0  # deviation of what it is spread by


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
