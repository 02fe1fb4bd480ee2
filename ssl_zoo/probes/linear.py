"""The linear probe: logistic regression on frozen features."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Penalties are weights of |W|^2 / 2 against the mean cross entropy, on features of unit mean square norm. Where nothing
# but the labelled examples may choose, the penalty is this divided by their number: against the summed cross entropy it
# is the same for one label as for thousands, as a prior is. docs/evaluation.md has the figures that it was fixed by.
FIXED_PENALTY = 1e-2
# What validation data chooses from. The search starts at the strongest and each fit starts from the last, which is both
# the fast and the stable direction.
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
# Of features whose spread is so small a part of their length, all that is left is rounding errors.
CONSTANT = 1e-6


class LinearProbe(NamedTuple):
    """A fitted linear classifier, with the scaling its inputs need.

    Attributes:
        center: ``(D,)``, subtracted from features.
        scale: scalar, divides them after that.
        weight: ``(classes, D)``.
        bias: ``(classes,)``.
    """

    center: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """``(N,)`` int64 classes of ``(N, D)`` features."""
        return F.linear((features - self.center) / self.scale, self.weight, self.bias).argmax(1)


def fit_linear(
    features: Tensor,
    labels: Tensor,
    classes: int,
    validation: tuple[Tensor, Tensor] | None = None,
    penalties: tuple[float, ...] | None = None,
) -> tuple[LinearProbe, float]:
    """Logistic regression on frozen features, and the penalty it was fitted with.

    Features are centred and divided by one number. Scaling each dimension by itself would be a choice of its own: it
    blows up pixels that are nearly always black.

    Args:
        features: ``(N, D)`` float32 training features.
        labels: ``(N,)`` int64.
        classes: number of classes.
        validation: features ``(M, D)`` and labels ``(M,)``, whose accuracy chooses the penalty, the stronger one if
            equal; None lets nothing choose and takes FIXED_PENALTY / N.
        penalties: to choose from; PENALTIES when left out.
    """
    center, scale = center_and_scale(features)
    scaled = (features - center) / scale
    weight, bias = features.new_zeros(classes, features.shape[1]), features.new_zeros(classes)
    if validation is None:
        penalty = FIXED_PENALTY / len(features)
        return LinearProbe(center, scale, *logistic_regression(scaled, labels, penalty, weight, bias)), penalty
    best, best_right = None, -1
    for penalty in sorted(penalties or PENALTIES, reverse=True):
        weight, bias = logistic_regression(scaled, labels, penalty, weight, bias)
        probe = LinearProbe(center, scale, weight, bias)
        right = int((probe.predict(validation[0]) == validation[1]).sum())
        if right > best_right:
            best, best_right = (probe, penalty), right
    assert best is not None, "no penalty to choose from"
    return best


def center_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(D,)`` of ``(N, D)`` features, and what makes their mean square norm one when divided by after that.

    The scale of a collapsed representation is infinite: its rounding errors, blown up, would pass for features.
    """
    center = features.mean(0)
    spread = (features - center).square().sum(1).mean().sqrt()
    length = features.square().sum(1).mean().sqrt()
    return center, torch.where(spread <= CONSTANT * length, torch.inf, spread)


@torch.inference_mode(False)
@torch.enable_grad()
def logistic_regression(
    features: Tensor, labels: Tensor, penalty: float, weight: Tensor, bias: Tensor, iterations: int = 100
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS on all data at once, on the features' device.

    Minimises mean cross entropy + penalty / 2 * |W|^2; the bias is free.

    Args:
        features: ``(N, D)`` float32.
        labels: ``(N,)`` int64.
        penalty: weight of the squared norm.
        weight: ``(classes, D)``, where to start.
        bias: ``(classes,)``, where to start.
        iterations: at most.

    Returns:
        The weight and bias found.
    """
    # Copies where they are needed, as gradients cannot pass through tensors made in inference mode, as Lightning's are.
    features, labels = (given.clone() if given.is_inference() else given for given in (features, labels))
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(features, weight, bias), labels) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()
