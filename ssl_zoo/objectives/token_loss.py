"""Cross entropy over a large vocabulary whose logits never lie in memory all at once."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ssl_zoo.hardware import autocast_type
from ssl_zoo.objectives.language_modeling import GlobalMean, mean_of_total

# Logits computed at a time, 128 MB in float32. Those of a batch of GPT-2's, 16 x 1024 x 50257, would take 3.3 GB, and
# their gradient as much again.
AT_ONCE = 2**25


class TokenLoss(NamedTuple):
    """How well tokens are predicted.

    Attributes:
        mean: cross entropy in nats, as a weighted mean over the global batch; `value` is without smoothing.
        likeliest: ``(...)`` int64, the tokens with the highest logits.
        drawn: ``(...)`` int64, tokens drawn from the softmax; None where no draws were given.
    """

    mean: GlobalMean
    likeliest: Tensor
    drawn: Tensor | None = None


def token_loss(
    vectors: Tensor,
    table: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor,
    draws: Tensor | None = None,
    smoothing: float = 0.0,
) -> TokenLoss:
    """Mean of -log softmax(table vector + bias)[target], and its gradient, a part of the tokens at a time.

    Value and gradients are those of `F.linear`, `token_nats` and `global_mean` one after the other, but for rounding:
    a part's gradient is computed right after its loss, since the weights that it will get are known beforehand. Neither
    logits nor their gradient are kept, and nothing is computed twice.

    Args:
        vectors: ``(..., D)``.
        table: ``(V, D)``, the output layer's weights.
        bias: ``(V,)`` or None.
        targets: ``(...)`` int64.
        weights: ``(...)``, bool or at least 0, what each token counts; without gradient.
        draws: ``(...)`` float32 from [0, 1), by each of which a token is drawn from the softmax too, without gradient;
            None where none is wanted.
        smoothing: part of a target's probability that all tokens share alike, itself among them, in [0, 1): label
            smoothing (Szegedy et al., 2015, arXiv:1512.00567, section 7), so that `mean.share` is of cross entropy with
            ``(1 - smoothing) * one-hot + smoothing / V``.
    """
    low = autocast_type(vectors.device.type) or table.dtype
    flat = None if draws is None else draws.flatten()
    total, nats, likeliest, drawn = _TokenLoss.apply(
        vectors.flatten(0, -2),
        table,
        bias,
        targets.flatten(),
        weights.flatten().float(),
        flat,
        low,
        torch.is_grad_enabled(),
        smoothing,
    )
    mean = mean_of_total(total, weights.sum())
    return TokenLoss(
        mean._replace(value=mean_of_total(nats, weights.sum()).value) if smoothing else mean,
        likeliest.view_as(targets),
        None if draws is None else drawn.view_as(targets),
    )


class _TokenLoss(torch.autograd.Function):
    """The weighted sum of cross entropies."""

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        weights: Tensor,
        draws: Tensor | None,
        low: torch.dtype,
        with_gradient: bool,
        smoothing: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows, narrow = max(1, AT_ONCE // len(table)), table.to(low)
        total, likeliest = vectors.new_zeros((), dtype=torch.float32), torch.empty_like(targets)
        drawn, spread = torch.empty_like(targets), torch.zeros_like(total)
        to_vectors, to_table, to_bias = None, None, None
        if with_gradient:
            to_vectors, to_table = torch.empty_like(vectors), torch.zeros_like(table, dtype=torch.float32)
            to_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        with torch.autocast(vectors.device.type, enabled=False):
            for first in range(0, len(vectors), rows):
                part = slice(first, first + rows)
                given, target, weight = vectors[part].to(low), targets[part, None], weights[part, None]
                # A softmax over tens of thousands of logits wants float32. From here on it is all in one memory.
                logits = F.linear(given, narrow, None if bias is None else bias.to(low)).float()
                highest, likeliest[part] = logits.max(1)
                logits.sub_(highest[:, None])
                of_target = logits.gather(1, target)
                average = logits.mean(1, keepdim=True) if smoothing else None
                odds = logits.exp_()
                mass = odds.sum(1, keepdim=True)
                total += ((mass.log() - of_target) * weight).sum()
                if average is not None:
                    spread += ((mass.log() - average) * weight).sum()
                if draws is not None:
                    # The first token up to which the probabilities add up to more than the draw.
                    places = torch.searchsorted(odds.cumsum(1), draws[part, None] * mass, right=True)
                    drawn[part] = places[:, 0].clamp_max(len(table) - 1)
                if to_vectors is None or to_table is None:
                    continue
                slope = odds.mul_(weight / mass)
                slope.scatter_(1, target, slope.gather(1, target) - (1 - smoothing) * weight)
                if smoothing:
                    slope.sub_(smoothing / len(table) * weight)
                if to_bias is not None:
                    to_bias += slope.sum(0)
                slope = slope.to(low)
                to_vectors[part] = slope @ narrow
                to_table += slope.t() @ given
        ctx.save_for_backward(to_vectors, to_table, to_bias)
        nats = total.clone()
        if smoothing:
            total = (1 - smoothing) * total + smoothing * spread
        ctx.mark_non_differentiable(nats, likeliest, drawn)
        return total, nats, likeliest, drawn

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        found = (None if part is None else part * gradient for part in ctx.saved_tensors)
        return *found, None, None, None, None, None, None
