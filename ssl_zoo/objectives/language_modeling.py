"""Losses over tokens: means over the global batch, and units that compare between tokenizers."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather, world_size


class GlobalMean(NamedTuple):
    """A weighted mean over the global batch.

    Attributes:
        share: scalar with gradient, this rank's part times the number of ranks: its mean over ranks, which is what DDP
            differentiates, is the mean over the global batch. What a loss is made of.
        value: scalar without gradient, the mean itself, the same on every rank. What is logged.
    """

    share: Tensor
    value: Tensor


def global_mean(values: Tensor, weights: Tensor) -> GlobalMean:
    """The mean over all ranks, who may differ in how many values count.

    A mean of the ranks' means would count a token for more on a rank that has fewer of them.

    Args:
        values: any shape, finite.
        weights: the same shape, bool or at least 0; where all of them are 0 on all ranks, the mean is 0.
    """
    return mean_of_total((values.float() * weights).sum(), weights.sum())


def mean_of_total(total: Tensor, count: Tensor) -> GlobalMean:
    """As `global_mean`, where the values of this rank are summed up already.

    Args:
        total: scalar float32, their weighted sum.
        count: scalar, the sum of their weights.
    """
    everywhere, counts = all_gather(torch.stack([total.detach(), count.float()])[None]).sum(0).unbind()
    counts = counts.clamp_min(1e-8)
    return GlobalMean(total * world_size() / counts, everywhere / counts)


def token_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of every token, -log p(target), in nats.

    Args:
        logits: ``(..., V)``, in any precision; the logarithm is taken in float32.
        targets: ``(...)`` int64.

    Returns:
        ``(...)`` float32.
    """
    with torch.autocast(logits.device.type, enabled=False):
        nats = F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), reduction="none")
    return nats.view_as(targets)


def bits_per_byte(nats_per_token: Tensor, bytes_per_token: Tensor | float) -> Tensor:
    """Code length of text in bits per byte of UTF-8, which compares between tokenizers; lower is better.

    All nats over all bytes of the same tokens: those that are predicted, ends of documents among them, whose nats count
    and who stand for no byte or few. What is not predicted (a document's begin, the first token of a row, padding) adds
    neither nats nor bytes.

    Args:
        nats_per_token: scalar, mean cross entropy of the predicted tokens.
        bytes_per_token: above 0, mean over the same tokens of the bytes that they stand for.
    """
    return nats_per_token / (math.log(2) * bytes_per_token)


def initialize_head(head: nn.Module) -> None:
    """Weights as BERT and GPT start with: N(0, 0.02), biases 0; norms are left as they are."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
