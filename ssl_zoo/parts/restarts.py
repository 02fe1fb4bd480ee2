"""Vectors of the global batch, drawn at random: what entries of a codebook that nothing chooses begin anew as."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.distributed import all_gather
from ssl_zoo.randomness import fold_in, uniform


class Drawn(NamedTuple):
    """Vectors of different places, in random order.

    Attributes:
        vectors: ``(count, ...)``, as those that they are drawn from.
        real: ``(count,)`` bool, False at the end, where the batch has too few.
    """

    vectors: Tensor
    real: Tensor


@torch.no_grad()
def drawn(vectors: Tensor, real: Tensor, keys: Tensor, count: int) -> Drawn:
    """So many vectors of the global batch, the same on every rank and whatever the order of the batch.

    Args:
        vectors: ``(B, K, ...)`` float32 of this rank.
        real: ``(B, K)`` bool, which of them may be drawn.
        keys: ``(B,)`` int64.
        count: number of vectors.
    """
    places = torch.arange(vectors.shape[1], device=keys.device)
    draws = uniform(fold_in(keys[:, None], places).flatten(), 1)[:, 0].masked_fill(~real.flatten(), -1.0)
    best, chosen = draws.topk(min(count, len(draws)))
    # The first of all ranks are among the first of each. Shorter ranks are filled up.
    own = torch.cat([best[:, None], vectors.flatten(0, 1)[chosen].flatten(1)], 1)
    everyone = all_gather(nn.functional.pad(own, (0, 0, 0, count - len(best)), value=-1.0))
    first = everyone[everyone[:, 0].argsort(descending=True, stable=True)[:count]]
    return Drawn(first[:, 1:].unflatten(1, vectors.shape[2:]), first[:, 0] >= 0)
