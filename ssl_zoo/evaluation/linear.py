"""The linear probe: logistic regression on frozen features, its regularisation chosen on validation data."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Weight of the penalty |W|^2 / 2 against the mean cross entropy, on features of unit mean square norm. The search
# starts at the strongest and each fit starts from the last, which is both the fast and the stable direction.
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


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
    validation: tuple[Tensor, Tensor],
    classes: int,
    penalties: tuple[float, ...] = PENALTIES,
) -> LinearProbe:
    """The best of one logistic regression per penalty, by accuracy on validation data; the stronger penalty if equal.

    Features are centred and divided by one number. Scaling each dimension by itself would be a choice of its own: it
    blows up pixels that are nearly always black.

    Args:
        features: ``(N, D)`` float32 training features.
        labels: ``(N,)`` int64.
        validation: features ``(M, D)`` and labels ``(M,)``.
        classes: number of classes.
        penalties: to choose from.
    """
    center = features.mean(0)
    scale = (features - center).square().sum(1).mean().sqrt().clamp_min(1e-12)
    scaled = (features - center) / scale
    weight, bias = features.new_zeros(classes, features.shape[1]), features.new_zeros(classes)
    best, best_accuracy = None, -1.0
    for penalty in sorted(penalties, reverse=True):
        weight, bias = logistic_regression(scaled, labels, penalty, weight, bias)
        probe = LinearProbe(center, scale, weight, bias)
        accuracy = float((probe.predict(validation[0]) == validation[1]).float().mean())
        if accuracy > best_accuracy:
            best, best_accuracy = probe, accuracy
    assert best is not None, "no penalty to choose from"
    return best


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
    # Copies, because gradients cannot pass through tensors that were made in inference mode, as Lightning's are.
    features, labels = features.clone(), labels.clone()
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
