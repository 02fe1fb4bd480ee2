"""The linear probe: logistic regression on frozen features."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.probes.cross_validation import (
    FIXED_PENALTY,
    FOLDS,
    PENALTIES,
    assign_folds,
    choose_by_held_out_loss,
)

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
            equal; None lets nothing beyond the training examples choose.
        penalties: penalties to choose from by validation data; PENALTIES when left out.
    """
    center, scale = center_and_scale(features)
    scaled = (features - center) / scale
    weight, bias = features.new_zeros(classes, features.shape[1]), features.new_zeros(classes)
    if validation is None:
        penalty = choose_within(scaled, labels, classes)
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


def choose_within(features: Tensor, labels: Tensor, classes: int) -> float:
    """A penalty by cross-validation within the labelled examples, or the fixed one where they are too few for that.

    Args:
        features: ``(N, D)`` float32, centred and scaled.
        labels: ``(N,)`` int64.
        classes: number of classes.
    """
    fold = assign_folds(labels)
    if fold is None:
        return FIXED_PENALTY / len(features)
    known = fold != torch.arange(FOLDS, device=fold.device)[:, None]
    weight, bias = features.new_zeros(FOLDS, classes, features.shape[1]), features.new_zeros(FOLDS, 1, classes)

    def held_out_loss(penalty: float) -> float:
        nonlocal weight, bias
        weight, bias = _fit_side_by_side(features, labels, known, penalty, weight, bias)
        return float(_cross_entropy(features, labels, weight, bias)[~known].mean())

    return choose_by_held_out_loss(held_out_loss)


def _cross_entropy(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``(F, N)`` losses of F classifiers, weight ``(F, classes, D)`` and bias ``(F, 1, classes)``, on N examples."""
    logits = features @ weight.mT + bias
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(weight)), reduction="none").view(len(weight), -1)


def center_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(D,)`` of ``(N, D)`` features, and what makes their mean square norm one when divided by after that.

    The scale of a collapsed representation is infinite: its rounding errors, blown up, would pass for features.
    """
    center = features.mean(0)
    spread = (features - center).square().sum(1).mean().sqrt()
    length = features.square().sum(1).mean().sqrt()
    return center, torch.where(spread <= CONSTANT * length, torch.inf, spread)


def logistic_regression(
    features: Tensor, labels: Tensor, penalty: float, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS on all data at once, on the features' device.

    Minimises mean cross entropy + penalty / 2 * |W|^2; the bias is free.

    Args:
        features: ``(N, D)`` float32.
        labels: ``(N,)`` int64.
        penalty: weight of the squared norm.
        weight: ``(classes, D)``, where to start.
        bias: ``(classes,)``, where to start.

    Returns:
        The weight and bias found.
    """

    def loss(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(features, weight, bias), labels) + penalty / 2 * weight.square().sum()

    return _minimise(loss, features, labels, weight, bias)


def _fit_side_by_side(
    features: Tensor, labels: Tensor, known: Tensor, penalty: float, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """F regressions at once, each on the examples that its row of `known` ``(F, N)`` names.

    The sum of their losses is lowest where each is.
    """
    with torch.inference_mode(False):  # as in `_minimise`
        known = known.clone()
        counts = known.sum(1)

    def loss(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        fits = (_cross_entropy(features, labels, weight, bias) * known).sum(1) / counts
        return fits.sum() + penalty / 2 * weight.square().sum()

    return _minimise(loss, features, labels, weight, bias)


@torch.inference_mode(False)
@torch.enable_grad()
def _minimise(
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    features: Tensor,
    labels: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Weight and bias that make a loss of features, labels, weight and bias lowest, from those given."""
    # Copies where they are needed, as gradients cannot pass through tensors made in inference mode, as Lightning's are.
    features, labels = (given.clone() if given.is_inference() else given for given in (features, labels))
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=100, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        value = loss(features, labels, weight, bias)
        value.backward()
        return value

    optimizer.step(evaluate)
    return weight.detach(), bias.detach()
