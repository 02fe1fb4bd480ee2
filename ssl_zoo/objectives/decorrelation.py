"""Losses that keep the dimensions of projections apart, so that views may attract each other without negatives."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather

# Keeps the deviation of a dimension that does not vary differentiable (both papers' published code).
VARIANCE_EPS = 1e-4
NORMALISATION_EPS = 1e-5


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation over the global batch of every dimension of one view with every dimension of the other.

    The C of Barlow Twins (Zbontar et al., 2021, arXiv:2103.03230, equation 2), of projections that are centred. Means
    and deviations are those of the batch, in validation too.

    Args:
        first: ``(B, D)``, the projection of each example's first view.
        second: ``(B, D)``, the projection of its second view.

    Returns:
        ``(D, D)`` float32 in [-1, 1], the same on every rank; a dimension without variance has 0.
    """
    with torch.autocast(first.device.type, enabled=False):
        views = [_normalised(all_gather(view.float())) for view in (first, second)]
        return views[0].T @ views[1] / len(views[0])


def barlow_twins(correlation: Tensor, redundancy_weight: float) -> Tensor:
    """How far a cross-correlation is from the identity (Zbontar et al., 2021, arXiv:2103.03230, equation 1).

    Args:
        correlation: ``(D, D)`` float32, from `cross_correlation`.
        redundancy_weight: factor of the squares beside the diagonal, the paper's lambda.

    Returns:
        Scalar float32, at least 0.
    """
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + redundancy_weight * (correlation.square().sum() - diagonal.square().sum())


def variance_hinge(vectors: Tensor) -> Tensor:
    """What the deviations of dimensions over a batch lack of 1: VICReg's v (arXiv:2105.04906, equations 1 and 2).

    Args:
        vectors: ``(N, D)`` of the global batch, N at least 2.

    Returns:
        Scalar float32 in [0, 1), the mean over dimensions.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        return F.relu(1 - (vectors.float().var(0) + VARIANCE_EPS).sqrt()).mean()


def covariance_penalty(vectors: Tensor) -> Tensor:
    """Squared covariances of different dimensions: VICReg's c (arXiv:2105.04906, equations 3 and 4).

    Args:
        vectors: ``(N, D)`` of the global batch, N at least 2.

    Returns:
        Scalar float32, at least 0: the sum over all pairs of dimensions, over D.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        centred = vectors.float() - vectors.float().mean(0)
        covariance = centred.T @ centred / (len(vectors) - 1)
        return (covariance.square().sum() - covariance.diagonal().square().sum()) / vectors.shape[1]


def _normalised(vectors: Tensor) -> Tensor:
    """``(N, D)`` with mean 0 and variance 1 in each dimension."""
    return F.batch_norm(vectors, None, None, training=True, eps=NORMALISATION_EPS)
