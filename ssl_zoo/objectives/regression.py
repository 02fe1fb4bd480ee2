"""The distance of predicted vectors from their targets, place by place."""

import torch
from torch import Tensor
from torch.nn import functional as F


def squared_or_smooth(predicted: Tensor, targets: Tensor, beta: float) -> Tensor:
    """The squared error, or the smooth L1 distance, summed over channels.

    Smooth L1 (Girshick, 2015, arXiv:1504.08083, equation 3, with a width): ``d^2 / (2 beta)`` of a difference d below
    `beta`, and ``|d| - beta / 2`` above.

    Args:
        predicted: ``(..., D)``, in any precision; the distance is taken in float32.
        targets: the same shape.
        beta: where the smooth L1 distance turns from a square into a line; 0 for the squared error.

    Returns:
        ``(...)`` float32.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        first, second = predicted.float(), targets.float()
        if beta == 0:
            return F.mse_loss(first, second, reduction="none").sum(-1)
        return F.smooth_l1_loss(first, second, reduction="none", beta=beta).sum(-1)
