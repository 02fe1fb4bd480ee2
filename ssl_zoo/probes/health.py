"""Figures that distinguish a healthy representation from a collapsed one, without labels."""

import torch
from torch import Tensor
from torch.nn import functional as F


def rank_me(features: Tensor) -> Tensor:
    """RankMe (Garrido et al., 2022, arXiv:2210.02885, equation 1): the effective number of dimensions in use.

    Args:
        features: ``(N, D)``; N should be well above D.

    Returns:
        Scalar in [1, min(N, D)]: exp of the entropy of the normalised singular values.
    """
    singular = torch.linalg.svdvals(features.float())
    share = singular / singular.sum().clamp_min(1e-12) + 1e-7
    return (-(share * share.log()).sum()).exp()


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of positive pairs on the sphere (Wang and Isola, 2020, arXiv:2005.10242, section 4.1).

    Args:
        first: ``(N, D)`` features of one view of each example.
        second: ``(N, D)`` features of another.

    Returns:
        Scalar in [0, 4]; small is aligned.
    """
    return (F.normalize(first.float(), dim=1) - F.normalize(second.float(), dim=1)).square().sum(1).mean()


def uniformity(features: Tensor) -> Tensor:
    """Log mean Gaussian potential of all pairs (Wang and Isola, 2020, arXiv:2005.10242, section 4.1), t = 2.

    Args:
        features: ``(N, D)``.

    Returns:
        Scalar in [-4, 0]; 0 means that all points coincide.
    """
    distances = torch.pdist(F.normalize(features.float(), dim=1))
    return (distances.square() * -2).exp().mean().log()
