"""Random numbers as a pure function of (seed, step, example), drawn on any device for a whole batch at once.

A generator hands out numbers in the order they are asked for, so what an example gets depends on its neighbours in the
batch, on its rank and on everything drawn before. Here every example carries a 64-bit key and a draw hashes that key.
The same example at the same step gets the same numbers wherever it lies, so that a resumed run equals an uninterrupted
one, N processes equal one on the concatenated batch, and no two ranks share noise.

The hash is the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
in the wrapping int64 arithmetic that PyTorch has on every device.
"""

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the odd constant nearest 2**64 / golden ratio, as int64
_MULTIPLY_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MULTIPLY_2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Logical right shift; PyTorch's own shift of a negative int64 copies the sign bit."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _MULTIPLY_1
    bits = (bits ^ _shift_right(bits, 27)) * _MULTIPLY_2
    return bits ^ _shift_right(bits, 31)


def fold_in(keys: Tensor, number: int | Tensor) -> Tensor:
    """New keys, independent of the old ones and of those folded with any other number.

    Args:
        keys: ``(B,)`` int64.
        number: an int, or an int64 tensor that broadcasts with `keys`.

    Returns:
        ``(B,)`` int64.
    """
    return _mix(_mix(keys + _GOLDEN) + (torch.zeros_like(keys) + number) * _MULTIPLY_1)


def example_keys(seed: int | Tensor, step: int, index: Tensor) -> Tensor:
    """One key per example.

    Args:
        seed: the run's seed.
        step: the global optimizer step; 0 in validation, so that every validation sees the same noise.
        index: ``(B,)`` int64, positions in the data set.

    Returns:
        ``(B,)`` int64 keys on the device of `index`.
    """
    return fold_in(fold_in(fold_in(torch.zeros_like(index), seed), step), index)


def uniform(keys: Tensor, *shape: int) -> Tensor:
    """Independent draws from [0, 1).

    Args:
        keys: ``(B,)`` int64.
        *shape: numbers wanted per example.

    Returns:
        ``(B, *shape)`` float32, multiples of 2**-24.
    """
    counter = torch.arange(1, math.prod(shape) + 1, device=keys.device) * _GOLDEN
    bits = _mix(fold_in(keys, 0)[:, None] + counter)
    return (_shift_right(bits, 40).float() * 2.0**-24).view(-1, *shape)


def normal(keys: Tensor, *shape: int) -> Tensor:
    """Independent standard normal draws, by the Box-Muller transform.

    Args:
        keys: ``(B,)`` int64.
        *shape: numbers wanted per example.

    Returns:
        ``(B, *shape)`` float32.
    """
    half = (math.prod(shape) + 1) // 2
    draws = uniform(keys, 2, half)
    radius = torch.sqrt(-2.0 * torch.log1p(-draws[:, 0]))
    angle = 2.0 * math.pi * draws[:, 1]
    both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return both[:, : math.prod(shape)].reshape(-1, *shape)
