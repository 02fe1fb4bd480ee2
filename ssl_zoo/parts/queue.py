"""MoCo's memory of keys."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather


class KeyQueue(nn.Module):
    """The last keys of all ranks, first in, first out (He et al., 2019, arXiv:1911.05722).

    All of it is buffers, saved with the weights: a resumed run finds its negatives where they were. It starts with
    random directions, as the paper's code does.

    Attributes:
        keys: ``(size, dim)`` float32 of unit length.
        index: ``(size,)`` int64, the example in the data set that each key was made of; -1 for the random ones.

    Args:
        size: number of keys to keep.
        dim: size of a key.
    """

    keys: Tensor
    index: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("index", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor, index: Tensor) -> None:
        """Replaces the oldest keys by every rank's new ones; of more than fit, the last are kept.

        Args:
            keys: ``(B, dim)`` of unit length, the same number on every rank.
            index: ``(B,)`` int64.
        """
        size = len(self.keys)
        keys, index = all_gather(keys.float())[-size:], all_gather(index)[-size:]
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % size
        self.keys[places], self.index[places] = keys, index
        self.pointer.copy_((self.pointer + len(keys)) % size)
