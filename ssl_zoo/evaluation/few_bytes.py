"""Vectors of all layers in no more bytes than they need."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.errors import InputError

# Of the numbers of a layer, those down to a thousandth of the largest are to have all of float16's digits.
SMALLEST = 1000.0


def in_few_bytes(layers: Sequence[Tensor]) -> list[Tensor]:
    """Features ``(N, D)`` of every layer in float16 where that keeps all of them, else in float32.

    A cache of all layers is large. Float16 ends at 65,504, and below 6e-5 it loses digits: features whose largest
    number lies outside of what it can hold stay as they are. Joined, the wider type wins.

    Raises:
        InputError: a number is not finite.
    """
    largest = torch.stack([F.pad(each.flatten().abs(), (0, 1)).amax().float() for each in layers])  # 0 of nothing
    if not largest.isfinite().all():
        raise InputError(
            "The encoder's layers give numbers that are not finite, so there is nothing to probe. If you trained it, "
            "it has diverged: train it again with a lower model.optimizer.learning_rate, or a model.optimizer.eps that "
            "is not 0."
        )
    kinds = torch.finfo(torch.float16)
    fits = (largest <= kinds.max) & ((largest == 0) | (largest >= SMALLEST * kinds.smallest_normal))
    return [each.half() if fits.all() else each.float() for each in layers]
