"""How far apart vectors are: what methods that could collapse log of the vectors that their loss compares."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather


def feature_std(features: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation of L2-normalised features, times sqrt(D).

    The collapse diagnostic of SimSiam (Chen and He, 2020, arXiv:2011.10566, section 4.1), scaled so that features
    spread evenly over the sphere give 1 whatever D is, and a constant gives 0.

    Args:
        features: ``(N, D)``.

    Returns:
        Scalar in [0, 1].
    """
    normalized = F.normalize(features.float(), dim=1)
    return normalized.std(0, correction=0).mean() * features.shape[1] ** 0.5


def mean_deviation(vectors: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation: of projections whose loss is about their scale, too.

    Args:
        vectors: ``(N, D)``.

    Returns:
        Scalar float32, at least 0, without gradient.
    """
    return vectors.detach().float().std(0, correction=0).mean()


def participation_ratio(vectors: Tensor) -> Tensor:
    """How many dimensions vectors effectively have: (sum of l)^2 / sum of l^2 for the eigenvalues l of the covariance.

    k equal eigenvalues give k. Dimensions that all say the same, which `feature_std` takes for a good spread, give 1.

    Args:
        vectors: ``(N, D)``.

    Returns:
        Scalar float32 in [1, min(N - 1, D)], without gradient; 0 where all vectors are the same.
    """
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        centred = vectors.float() - vectors.float().mean(0)
        # Both products have the same eigenvalues but for zeros.
        products = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
        return products.trace().square() / products.square().sum().clamp_min(1e-20)


def global_std(vectors: Tensor, weights: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation over the places of the global batch, without gradient.

    What data2vec's published code stops at (Baevski et al., 2022, arXiv:2202.03555): 0 where all vectors are alike.

    Args:
        vectors: ``(B, N, D)``, finite.
        weights: ``(B, N)`` bool, True where a place counts.

    Returns:
        Scalar float32, at least 0.
    """
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        values, counted = vectors.detach().float().flatten(0, 1), weights.flatten()[:, None]
        count = counted.sum().float()
        mean = (values * counted).sum(0) / count.clamp_min(1)
        squares = ((values - mean) * counted).square().sum(0)
        # Every rank's squares are around its own mean.
        counts, means, sums = all_gather(torch.stack([count.expand_as(mean), mean, squares])[None]).unbind(1)
        total = counts.sum(0).clamp_min(1)
        centre = (counts * means).sum(0) / total
        variance = (sums + counts * (means - centre).square()).sum(0) / total
        return variance.sqrt().mean()


def global_feature_std(vectors: Tensor, weights: Tensor) -> Tensor:
    """`feature_std` of places of the global batch, without gradient; arguments as above."""
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        return global_std(F.normalize(vectors.float(), dim=-1), weights) * vectors.shape[-1] ** 0.5
