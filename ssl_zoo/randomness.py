"""Random numbers as a pure function of (seed, step, example), drawn on any device for a whole batch at once.

A generator hands out numbers in the order they are asked for, so what an example gets depends on its neighbours in the
batch, on its rank and on everything drawn before. Here every example carries a 64-bit key and a draw hashes that key.
The same example at the same step gets the same numbers wherever it lies, so that a resumed run equals an uninterrupted
one, N processes equal one on the concatenated batch, and no two ranks share noise.

The hash is the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
in the wrapping int64 arithmetic that PyTorch has on every device.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the odd constant nearest 2**64 / golden ratio, as int64
_MULTIPLY_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MULTIPLY_2 = -7723592293110705685  # 0x94D049BB133111EB
# Where in a key's sequence of words the numbers begin: far from its first word, which `fold_in` makes other keys of.
_NUMBERS = 1 << 32


def _wrapped(number: int) -> int:
    """The int64 with the same lowest 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Logical right shift; PyTorch's own shift of a negative int64 copies the sign bit."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _MULTIPLY_1
    bits = (bits ^ _shift_right(bits, 27)) * _MULTIPLY_2
    return bits ^ _shift_right(bits, 31)


def _mix_int(bits: int) -> int:
    """`_mix` of one number, on the host."""
    bits %= 2**64
    bits = ((bits ^ (bits >> 30)) * _MULTIPLY_1) % 2**64
    bits = ((bits ^ (bits >> 27)) * _MULTIPLY_2) % 2**64
    return _wrapped(bits ^ (bits >> 31))


def fold_in(keys: Tensor, number: int | Tensor) -> Tensor:
    """New keys, independent of the old ones and of those folded with any other number.

    Args:
        keys: ``(B,)`` int64.
        number: an int, or an int64 tensor that broadcasts with `keys`.

    Returns:
        ``(B,)`` int64.
    """
    moved = _wrapped(number * _MULTIPLY_1) if isinstance(number, int) else number * _MULTIPLY_1
    return _mix(_mix(keys + _GOLDEN) + moved)


def example_keys(seed: int | Tensor, step: int, index: Tensor) -> Tensor:
    """One key per example.

    Args:
        seed: the run's seed.
        step: the global optimizer step; 0 in validation, so that every validation sees the same noise.
        index: ``(B,)`` int64, positions in the data set.

    Returns:
        ``(B,)`` int64 keys on the device of `index`.
    """
    # What is the same for the whole batch is hashed on the host, or added: one hash of the batch is left.
    return _mix(index * _MULTIPLY_1 + seed + _mix_int(step * _GOLDEN + _GOLDEN))


def _words(keys: Tensor, first: int, count: int, blocks: int = 1) -> Tensor:
    """``(blocks * B, count)`` int64: a stretch of every key's SplitMix64 sequence, cut into blocks.

    Keys are hashes, so that no two sequences are stretches of each other.
    """
    # Compilers take a sum or multiple of positions and constants for an index and find it too large for 32 bits: the
    # constants meet the keys first.
    position = torch.arange(blocks * count, device=keys.device).view(blocks, 1, count)
    return _mix((position + (keys + first)[:, None]) * _GOLDEN).flatten(0, 1)


def _to_unit(words: Tensor) -> Tensor:
    """Float32 in [0, 1), multiples of 2**-24, from words."""
    return (words & (2**24 - 1)).float().mul_(2.0**-24)


def uniform(keys: Tensor, *shape: int) -> Tensor:
    """Independent draws from [0, 1).

    Args:
        keys: ``(B,)`` int64.
        *shape: numbers wanted per example.

    Returns:
        ``(B, *shape)`` float32, multiples of 2**-24.
    """
    return _to_unit(_words(keys, _NUMBERS, math.prod(shape))).view(-1, *shape)


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


class Draws(NamedTuple):
    """Random numbers for a chain of operations, drawn at once.

    Attributes:
        uniform: ``(B, K)`` float32, independent draws from [0, 1).
        keys: ``(B, K)`` int64, the words that the numbers are made of. Where one number is not enough, `uniform` and
            `normal` make any number of them of a column, in place of the number in that column.
    """

    uniform: Tensor
    keys: Tensor

    def columns(self, first: int, end: int) -> "Draws":
        """The numbers from `first` up to, but without, `end`."""
        return Draws(self.uniform[:, first:end], self.keys[:, first:end])


def draw(keys: Tensor, count: int, blocks: int = 1) -> Draws:
    """All that a chain of operations needs, in one hash of the batch: on a GPU every small operation costs a launch.

    Args:
        keys: ``(B,)`` int64.
        count: numbers wanted per example and block.
        blocks: independent blocks of numbers, say one per view.

    Returns:
        ``(blocks * B, count)`` draws: the first block of every example, then the second of every example, and so on.
    """
    words = _words(keys, _NUMBERS, count, blocks)
    return Draws(_to_unit(words), words)
