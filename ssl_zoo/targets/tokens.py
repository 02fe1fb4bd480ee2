"""Tokens to be predicted. Those that are hidden are `Hidden.at` of the text; these come next in it."""

import torch
from torch import Tensor


def next_tokens(inputs: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """What a causal model predicts from every token but the last: the one after it.

    Args:
        inputs: ``(B, T)`` int64 token ids.
        mask: ``(B, T)``, as in `ssl_zoo.batch.Batch`, or None.

    Returns:
        Targets ``(B, T - 1)`` int64, and bool of the same shape: False where the target is padding or the first token
        of another document, which nothing before it predicts.
    """
    targets = inputs[:, 1:]
    if mask is None:
        return targets, torch.ones_like(targets, dtype=torch.bool)
    return targets, (mask[:, 1:] > 0) & (mask[:, 1:] == mask[:, :-1])
