"""How far apart vectors are: what methods that could collapse log of the vectors that their loss compares."""

from torch import Tensor
from torch.nn import functional as F


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
