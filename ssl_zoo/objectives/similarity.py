"""Losses that pull an example's views together and need no negatives."""

import torch
from torch import Tensor
from torch.nn import functional as F


def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """The mean of -cos(predicted, target) over examples; no gradient flows into the target.

    SimSiam's D (Chen and He, 2020, arXiv:2011.10566, equation 1); BYOL's squared distance of unit vectors
    (Grill et al., 2020, arXiv:2006.07733, equation 2) is 2 + 2 D.

    Args:
        predicted: ``(B, D)``.
        target: ``(B, D)``.

    Returns:
        Scalar float32 in [-1, 1].
    """
    with torch.autocast(predicted.device.type, enabled=False):
        return -F.cosine_similarity(predicted.float(), target.detach().float(), dim=1).mean()


def distance_to_centre(views: Tensor, central: int) -> Tensor:
    """The mean squared distance of an example's views from the mean of its first ones; the gradient flows into both.

    LeJEPA's invariance (Balestriero and LeCun, 2025, arXiv:2511.08544); of two views, both central, it is a quarter of
    the mean squared distance between them.

    Args:
        views: ``(V, B, D)``, V views of each example.
        central: number of views, the first ones, that the mean is of; crops of small parts do not count there.

    Returns:
        Scalar float32, at least 0, the mean over all views, examples and dimensions.
    """
    with torch.autocast(views.device.type, enabled=False):
        views = views.float()
        return (views - views[:central].mean(0)).square().mean()
