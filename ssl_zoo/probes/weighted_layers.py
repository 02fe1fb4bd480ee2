"""The probe on all layers of a frozen encoder: a learnt weighting of the layers and a linear classifier."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.probes.linear import CONSTANT

# Of the penalty as in the linear probe. All are fitted side by side.
PENALTIES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
STEPS, BATCH, LEARNING_RATE = 1000, 512, 1e-2


class WeightedProbe(NamedTuple):
    """A fitted linear classifier on a weighted sum of layers.

    Attributes:
        center: ``(L, D)``, subtracted from each layer's vectors.
        scale: ``(L,)``, divides them after that.
        shares: ``(L,)``, what each layer then counts; positive, of sum 1.
        weight: ``(classes, D)``.
        bias: ``(classes,)``.
    """

    center: Tensor
    scale: Tensor
    shares: Tensor
    weight: Tensor
    bias: Tensor

    def predict(self, layers: Tensor) -> Tensor:
        """``(N,)`` int64 classes of ``(L, N, D)`` vectors of any floating type."""
        factors = self.shares / self.scale
        mixed = -(factors @ self.center).expand(layers.shape[1:])
        # One layer after the other: all of a cache in single precision may be too much.
        for factor, layer in zip(factors, layers, strict=True):
            mixed = mixed + factor * layer.float()
        return F.linear(mixed, self.weight, self.bias).argmax(1)


def fit_weighted(
    layers: Tensor,
    labels: Tensor,
    validation: tuple[Tensor, Tensor],
    classes: int,
    penalties: tuple[float, ...] = PENALTIES,
) -> WeightedProbe:
    """Logistic regression on a softmax-weighted sum of layers, as in SUPERB (Yang et al., 2021, arXiv:2105.01051).

    Every layer is centred and divided by one number, so that none counts for more because its vectors are longer. The
    layers' weights, equal at first, and the classifier are trained together by Adam, 1000 steps on batches of 512 with
    a learning rate that falls from 0.01 to zero along a cosine, once for every penalty. The penalty taken is the best
    by accuracy on validation data, the stronger one if equal.

    L-BFGS, which serves the linear probe, is no good here: the loss has a dead end where one layer has all the weight,
    and a long step ends there.

    Args:
        layers: ``(L, N, D)`` training vectors of every layer, of any floating type.
        labels: ``(N,)`` int64.
        validation: vectors ``(L, M, D)`` and labels ``(M,)``.
        classes: number of classes.
        penalties: penalties to choose from: weights of |W|^2 / 2, on features of unit mean square norm, against the
            mean cross entropy.
    """
    center, scale = _center_and_scale(layers)
    strengths = layers.new_tensor(sorted(penalties, reverse=True), dtype=torch.float32)
    shares, weight, bias = _minimize(layers, labels, classes, strengths, center, scale)
    probes = [WeightedProbe(center, scale, *found) for found in zip(shares, weight, bias, strict=True)]
    # The first of equals.
    return max(probes, key=lambda probe: float((probe.predict(validation[0]) == validation[1]).float().mean()))


def _center_and_scale(layers: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(L, D)`` and root mean square ``(L,)`` of the rest, over examples and dimensions."""
    center = torch.stack([layer.float().mean(0) for layer in layers])
    squares = [(layer.float() - mean).square().mean() for layer, mean in zip(layers, center, strict=True)]
    spread = torch.stack(squares).sqrt()
    length = torch.stack([layer.float().square().mean() for layer in layers]).sqrt()
    # Of a layer that is the same for all examples, rounding errors are all that is left: they are no features.
    return center, torch.where(spread <= CONSTANT * length, torch.inf, spread)


@torch.enable_grad()
def _minimize(
    layers: Tensor, labels: Tensor, classes: int, penalties: Tensor, center: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What each of P penalties leads to: shares ``(P, L)``, weight ``(P, classes, D)`` and bias ``(P, classes)``."""
    count, _, dim = layers.shape
    preferences = torch.zeros(len(penalties), count, device=layers.device, requires_grad=True)
    weight = torch.zeros(len(penalties), classes, dim, device=layers.device, requires_grad=True)
    bias = torch.zeros(len(penalties), classes, device=layers.device, requires_grad=True)
    optimizer = torch.optim.Adam([preferences, weight, bias], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for chosen in _batches(len(labels), labels.device):
        scaled = (layers[:, chosen].float() - center[:, None]) / scale[:, None, None]
        mixed = torch.einsum("pl,lbd->pbd", preferences.softmax(1), scaled)
        logits = torch.baddbmm(bias[:, None], mixed, weight.transpose(1, 2))
        errors = F.cross_entropy(logits.flatten(0, 1), labels[chosen].repeat(len(penalties)), reduction="sum")
        # The features' mean square norm is their dimension. No penalty's numbers enter another's loss.
        loss = errors / len(chosen) + (penalties * dim / 2 * weight.square().sum((1, 2))).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return preferences.detach().softmax(1), weight.detach(), bias.detach()


def _batches(examples: int, device: torch.device) -> Iterator[Tensor]:
    """Positions of each step's examples, the same at every call: passes over all of them, each in another order."""
    generator = torch.Generator().manual_seed(0)
    size = min(BATCH, examples)
    passes = [torch.randperm(examples, generator=generator) for _ in range(-(-STEPS * size // examples))]
    yield from torch.cat(passes)[: STEPS * size].view(STEPS, size).to(device)
