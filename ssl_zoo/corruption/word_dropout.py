"""Words that a decoder does not read in training, so that it has to make use of what an encoder has read."""

import torch
from torch import Tensor

from ssl_zoo.randomness import uniform


def dropped_words(keys: Tensor, length: int, rate: float) -> Tensor:
    """``(B, length)`` bool, True where a word is left out; the first one, which begins a text, never is.

    Args:
        keys: ``(B,)`` int64 random keys.
        length: words of a text.
        rate: part of the words that is left out, in [0, 1].
    """
    dropped = uniform(keys, length) < rate
    return dropped & (torch.arange(length, device=keys.device) > 0)
