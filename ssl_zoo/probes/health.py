"""Figures that distinguish a healthy representation from a collapsed one, without labels.

A new one is a function and an entry in `FIGURES`: whatever logs, tabulates, ranks or shows health figures reads it.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.parts.spread import feature_std


class HealthFigure(NamedTuple):
    """A figure of held-out examples' representations.

    Attributes:
        meaning: what it says, for whoever reads a table.
        measure: gives the scalar, of features ``(N, D)``, or where `of_pairs` of those of two views, ``(N, D)`` each.
        of_pairs: whether it compares two views of every example; left out where a method makes no views.
        less_is_better: whether the smallest comes first in a ranking.
    """

    meaning: str
    measure: Callable[..., Tensor]
    of_pairs: bool = False
    less_is_better: bool = False


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


# By name; `rank` is logged as `health/rank`.
FIGURES: dict[str, HealthFigure] = {
    "rank": HealthFigure("RankMe: how many dimensions the features effectively use", rank_me),
    "std": HealthFigure("spread of the features: 1 is even, 0 is collapsed", feature_std),
    "alignment": HealthFigure(
        "mean squared distance of two views of an example: small is aligned",
        alignment,
        of_pairs=True,
        less_is_better=True,
    ),
    "uniformity": HealthFigure(
        "log mean potential of all pairs: lower is more evenly spread", uniformity, less_is_better=True
    ),
}
