"""How far predicted numbers are from the true ones, squared, over the global batch: the loss of MAE."""

import torch
from torch import Tensor

from ssl_zoo.distributed import all_gather
from ssl_zoo.objectives.language_modeling import mean_of_total


def squared_error(predicted: Tensor, targets: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error, and the part of the targets' variance that is predicted.

    With m the mean of each of the P entries over what counts in the global batch:

        error = mean of (predicted - targets)^2,      explained = 1 - error / mean of (targets - m)^2

    Nothing is explained by whoever always predicts m.

    Args:
        predicted: ``(B, K, P)``, in any precision.
        targets: ``(B, K, P)`` float32, finite.
        counted: ``(B, K, P)`` bool, or of a shape that broadcasts to it: which entries count.

    Returns:
        The error, a scalar float32 whose mean over ranks is that of the global batch, in value and gradient, and 0
        where nothing counts; and `explained`, a scalar without gradient, the same on every rank.
    """
    weights = counted.float().expand_as(targets)
    share, error = mean_of_total(((predicted.float() - targets).square() * weights).sum(), weights.sum())
    with torch.no_grad():
        sums = torch.stack([(targets * weights).sum((0, 1)), weights.sum((0, 1))])
        totals, counts = all_gather(sums[None]).sum(0).unbind()
        deviations = (targets - totals / counts.clamp_min(1.0)).square() * weights
        variance = mean_of_total(deviations.sum(), weights.sum()).value
    return share, 1 - error / variance.clamp_min(1e-6)
