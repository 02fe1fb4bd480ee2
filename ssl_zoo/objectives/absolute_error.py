"""How far predicted numbers are from the true ones, over the global batch: the loss of APC, Mockingjay and TERA."""

import torch
from torch import Tensor

from ssl_zoo.distributed import all_gather
from ssl_zoo.objectives.language_modeling import mean_of_total


def absolute_error(predicted: Tensor, targets: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The mean absolute error, and the part of the targets' own deviation that is predicted.

    With m the mean of each of the P entries over what counts in the global batch:

        error = mean of |predicted - targets|,      explained = 1 - error / mean of |targets - m|

    Nothing is explained by whoever always predicts m.

    Args:
        predicted: ``(B, N, P)``, in any precision.
        targets: ``(B, N, P)`` float32, finite.
        counted: ``(B, N, P)`` bool, or of a shape that broadcasts to it: which entries count.

    Returns:
        The error, a scalar float32 whose mean over ranks is that of the global batch, in value and gradient, and 0
        where nothing counts; and `explained`, a scalar without gradient, the same on every rank.
    """
    weights = counted.float().expand_as(targets)
    distances = ((predicted.float() - targets).abs() * weights).sum()
    share, error = mean_of_total(distances, weights.sum())
    with torch.no_grad():
        sums = torch.stack([(targets * weights).sum((0, 1)), weights.sum((0, 1))])
        totals, counts = all_gather(sums[None]).sum(0).unbind()
        means = totals / counts.clamp_min(1.0)
        deviation = mean_of_total(((targets - means).abs() * weights).sum(), weights.sum()).value
    return share, 1 - error / deviation.clamp_min(1e-6)
