"""How far predicted numbers are from the true ones, squared or absolute, over the global batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_zoo.distributed import all_gather
from ssl_zoo.objectives.language_modeling import mean_of_total


def squared_error(predicted: Tensor, targets: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error, the loss of MAE, and the part of the targets' variance that is predicted.

    With m the mean of each of the P entries over what counts in the global batch:

        error = mean of (predicted - targets)^2,      explained = 1 - error / mean of (targets - m)^2

    Nothing is explained by whoever always predicts m.

    Args:
        predicted: ``(B, K, P)``, in any precision.
        targets: ``(B, K, P)`` float32, finite.
        counted: ``(B, K, P)`` bool, or of a shape that broadcasts to it: which entries count.

    Returns:
        The error, a scalar float32 whose mean over ranks is that of the global batch, in value and gradient, and 0
        where nothing counts; and `explained`, a scalar without gradient, the same on every rank, 0 where all targets
        that count are alike.
    """
    return _error(predicted, targets, counted, torch.square)


def absolute_error(predicted: Tensor, targets: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The mean absolute error, the loss of APC, and the part of the targets' deviation that is predicted.

    As `squared_error`, with absolute values in place of squares.

    Args:
        predicted: ``(B, K, P)``, in any precision.
        targets: ``(B, K, P)`` float32, finite.
        counted: ``(B, K, P)`` bool, or of a shape that broadcasts to it: which entries count.
    """
    return _error(predicted, targets, counted, torch.abs)


def _error(
    predicted: Tensor, targets: Tensor, counted: Tensor, size: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    weights = counted.float().expand_as(targets)
    share, error = mean_of_total((size(predicted.float() - targets) * weights).sum(), weights.sum())
    with torch.no_grad():
        sums = torch.stack([(targets * weights).sum((0, 1)), weights.sum((0, 1))])
        totals, counts = all_gather(sums[None]).sum(0).unbind()
        deviations = size(targets - totals / counts.clamp_min(1.0)) * weights
        deviation = mean_of_total(deviations.sum(), weights.sum()).value
    # Of targets that are all alike, or where nothing counts, there is nothing to explain.
    return share, torch.where(deviation > 1e-6, 1 - error / deviation.clamp_min(1e-6), 0.0)
