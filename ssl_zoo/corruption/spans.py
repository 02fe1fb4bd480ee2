"""wav2vec 2.0's masking of spans of frames, for a whole batch at once, on its device and in shapes known beforehand."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# What an example's keys are folded with, so that its draws are independent of each other.
NUMBER, STARTS = range(2)


class Spans(NamedTuple):
    """Which frames are masked.

    Attributes:
        mask: ``(B, N)`` bool, True where a frame is masked.
        positions: ``(B, K)`` int64, the masked frames in order of time, and after them frames that are not.
        valid: ``(B, K)`` bool, True where a slot of `positions` is a masked frame.
    """

    mask: Tensor
    positions: Tensor
    valid: Tensor


class SpanMasking:
    """Masks spans of frames, drawn anew at every step (wav2vec 2.0, Baevski et al., 2020, arXiv:2006.11477, 3.1, 4.2).

    A recording of T real frames gets ``floor(probability * T / length + u)`` spans of `length` frames, u uniform in
    [0, 1), but at least `least`. Their starts are drawn without replacement from the T - length + 1 frames at which a
    whole span fits, so that no span reaches into padding; spans may overlap, and with the paper's 0.65 and 10 about
    half of the frames are masked. In a recording shorter than two spans a span is half of it, and never does one start
    everywhere: something must be left to see. Recordings of different lengths are not made to have equally many masked
    frames: that would cut spans up.

    So the number K of slots depends on the number N of frames alone; see `slots`.

    Args:
        probability: of a frame to be in a span if spans did not overlap, in (0, 1].
        length: of a span in frames.
        least: spans that every recording gets, where they fit.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(self, probability: float = 0.65, length: int = 10, least: int = 2) -> None:
        if not 0.0 < probability <= 1.0:
            raise InputError(f"mask_probability is {probability}; give a number above 0 and at most 1.")
        if length < 1:
            raise InputError(f"mask_length is {length}; give a number of frames of at least 1.")
        self.probability, self.length, self.least = probability, length, least

    def most_spans(self, frames: int) -> int:
        """The most spans that a recording of at most so many frames can get."""
        # Three frames are the shortest recording's worst case: its spans have half of three frames, rounded down.
        most = math.floor(self.probability * max(frames / self.length, 3.0)) + 1
        return min(frames, max(most, self.least))

    def slots(self, frames: int) -> int:
        """The most frames of so many that can be masked, K."""
        return min(frames, self.most_spans(frames) * self.length)

    def __call__(self, real: Tensor, keys: Tensor) -> Spans:
        """Draws the spans of a batch.

        Args:
            real: ``(B, N)`` bool, True where a frame is real; padding is on the right.
            keys: ``(B,)`` int64; what a recording gets depends on its key and its number of real frames alone.
        """
        frames = real.shape[1]
        count = real.sum(1, keepdim=True)
        length = (count // 2).clamp(1, self.length)
        places = count - length + 1
        number = torch.floor(self.probability * count / length + uniform(fold_in(keys, NUMBER), 1)).long()
        number = number.clamp_min(self.least).minimum((places - 1).clamp_min(1)).minimum(count)

        # The frames with the smallest draws, among those where a span fits, are starts.
        fits = torch.arange(frames, device=real.device) < places
        draws = uniform(fold_in(keys, STARTS), frames).masked_fill(~fits, 2.0)
        starts = draws.argsort(dim=1, stable=True)[:, : self.most_spans(frames)]
        drawn = (torch.arange(starts.shape[1], device=real.device) < number).long()
        # One more span covers a frame from its start on, one fewer from its end on.
        change = torch.zeros(len(real), frames + 1, dtype=torch.int64, device=real.device)
        change.scatter_add_(1, starts, drawn).scatter_add_(1, (starts + length).clamp_max(frames), -drawn)
        mask = (change.cumsum(1)[:, :-1] > 0) & real

        slots = self.slots(frames)
        positions = mask.long().argsort(dim=1, descending=True, stable=True)[:, :slots]
        valid = torch.arange(slots, device=real.device) < mask.sum(1, keepdim=True)
        return Spans(mask, positions, valid)


def at_positions(vectors: Tensor, positions: Tensor) -> Tensor:
    """``(B, K, D)``, the vectors ``(B, N, D)`` at the positions ``(B, K)``; those of a row must be all different."""
    return torch.take_along_dim(vectors, positions[..., None], dim=1)


def all_real(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, N)`` bool, where vectors ``(B, N, D)`` are real, also where a mask of None says that all of them are."""
    return torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device) if mask is None else mask
