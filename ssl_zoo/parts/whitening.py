"""Whitening: vectors along their leading directions, in each of which they then vary equally much."""

from typing import NamedTuple

import torch
from torch import Tensor

# Directions along which vectors vary by less than this part of their largest variance hold rounding errors alone.
NOTHING = 1e-8
# Vectors whose double-precision copies are held at once.
AT_ONCE = 1 << 16


class Whitening(NamedTuple):
    """An affine map after which vectors have mean 0 and, in every direction that they vary in, variance 1.

    Attributes:
        mean: ``(D,)`` float32.
        directions: ``(D, P)`` float32, principal components from the leading one on, each divided by the standard
            deviation along it; zeros where vectors do not vary.
    """

    mean: Tensor
    directions: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """``(..., P)`` float32 of vectors ``(..., D)``."""
        with torch.autocast(vectors.device.type, enabled=False):
            return (vectors.float() - self.mean) @ self.directions


@torch.no_grad()
def fit_whitening(vectors: Tensor, components: int) -> Whitening:
    """Principal component analysis with whitening; the same vectors give the same map.

    Args:
        vectors: ``(N, D)`` float32.
        components: directions to keep, P, at most D.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        mean = vectors.mean(0, dtype=torch.float64)
        products = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=mean.device)
        for part in vectors.split(AT_ONCE):
            centred = part.double() - mean
            products.addmm_(centred.T, centred)
        variances, directions = torch.linalg.eigh(products / len(vectors))  # from the smallest one on
        variances, directions = variances[-components:].flip(0), directions[:, -components:].flip(1)
        varies = variances > NOTHING * variances[0].clamp_min(1e-300)
        scales = torch.where(varies, variances.clamp_min(1e-300).rsqrt(), 0.0)
    return Whitening(mean.float(), (directions * scales).float())
