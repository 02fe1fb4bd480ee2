"""Moments of recordings at which frames are evaluated: the same for every representation, whatever its frames are."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.audio.recordings import Recordings
from ssl_zoo.data.audio.segments import frame_labels
from ssl_zoo.encoders.base import mean_over_places
from ssl_zoo.errors import InputError

# Of the numbers of a layer, those down to a thousandth of the largest are to have all of float16's digits.
SMALLEST = 1000.0
GRID = 0.02  # seconds from one moment to the next


class Moments(NamedTuple):
    """Moments of a part's recordings, in order.

    Attributes:
        recordings: ``(P,)`` int64, positions in the part, ascending.
        samples: ``(P,)`` int64, samples from the beginning of the recording.
        labels: ``(P,)`` int64, phones.
    """

    recordings: Tensor
    samples: Tensor
    labels: Tensor

    def of(self, recordings: Tensor) -> tuple[Tensor, Tensor]:
        """Those of some recordings: ``(Q,)`` their places here, and in which of these recordings each is.

        Args:
            recordings: ``(B,)`` int64, positions in the part, all different.
        """
        starts, ends = (torch.searchsorted(self.recordings, recordings + later) for later in (0, 1))
        rows = torch.repeat_interleave(torch.arange(len(recordings)), ends - starts)
        skipped = (ends - starts).cumsum(0) - ends  # moments of earlier rows, less those that lie before this row's
        return torch.arange(len(rows)) - skipped[rows], rows


def choose_moments(examples: Recordings, most: int) -> Moments:
    """Every 20 ms of every recording where the phone is known; of too many, so many that are evenly spread.

    Spread over all recordings, and not all moments of some of them: neighbours teach a probe little.

    Args:
        examples: a part of the data.
        most: moments at most.
    """
    step = GRID * examples.sample_rate
    recordings, samples, labels = [], [], []
    for position, size in enumerate(np.minimum(examples.sizes, examples.most).tolist()):
        # In the middle of each 20 ms.
        moments = ((torch.arange(int(size / step)) + 0.5) * step).long()
        phones = frame_labels(examples, position, moments)
        known = phones >= 0
        recordings.append(torch.full((int(known.sum()),), position))
        samples.append(moments[known])
        labels.append(phones[known])
    everything = Moments(torch.cat(recordings), torch.cat(samples), torch.cat(labels))
    total = len(everything.labels)
    if total <= most:
        return everything
    chosen = torch.linspace(0, total - 1, most, dtype=torch.float64).round().long()
    return Moments(*(values[chosen] for values in everything))


def nearest_frames(samples: Tensor, counts: Tensor, offset: int, stride: int) -> Tensor:
    """The frames whose centres are nearest to some moments, the later one of two.

    Args:
        samples: ``(P,)`` int64, the moments.
        counts: ``(P,)`` int64, real frames of the recording that each is in.
        offset: the sample at the centre of frame 0.
        stride: samples from one frame to the next.

    Returns:
        ``(P,)`` int64.
    """
    return ((samples - offset + stride // 2) // stride).clamp(min=0).minimum(counts - 1)


def frames_at(frames: Tensor, rows: Tensor, places: Tensor, counts: Tensor, context: int) -> Tensor:
    """Single frames put together with their neighbours; beyond an end stands the frame there.

    Args:
        frames: ``(B, N, C)``.
        rows: ``(P,)`` int64, the recording of each frame wanted.
        places: ``(P,)`` int64, its place there.
        counts: ``(P,)`` int64, real frames of that recording.
        context: neighbours on either side.

    Returns:
        ``(P, (2 * context + 1) * C)``, the frame itself in the middle.
    """
    shifts = torch.arange(-context, context + 1, device=frames.device)
    wanted = (places[:, None] + shifts).clamp(min=0).minimum(counts[:, None] - 1)
    return frames[rows[:, None], wanted].flatten(1)


def mean_and_deviation(frames: Tensor, mask: Tensor | None) -> Tensor:
    """Mean and standard deviation over real frames, ``(B, 2 * C)``, of ``(B, N, C)`` with mask ``(B, N)`` or None."""
    mean = mean_over_places(frames, mask)
    variance = mean_over_places((frames - mean[:, None]).square(), mask)
    return torch.cat([mean, variance.sqrt()], 1)


def real_counts(frames: Tensor, mask: Tensor | None) -> Tensor:
    """``(B,)`` int64, how many frames of ``(B, N, C)`` are real."""
    if mask is None:
        return torch.full((len(frames),), frames.shape[1], device=frames.device)
    return mask.sum(1)


def in_few_bytes(layers: Tensor) -> Tensor:
    """Features ``(L, N, D)`` in float16 where that keeps them, else in float32; joined, the wider type wins.

    A cache of all layers is large. Float16 ends at 65,504, and below 6e-5 it loses digits: a layer whose largest number
    lies outside of what it can hold stays as it is.

    Raises:
        InputError: a number is not finite.
    """
    largest = layers.abs().flatten(1).amax(1).float() if layers.numel() else layers.new_zeros(1)
    if not largest.isfinite().all():
        raise InputError(
            "The encoder's layers give numbers that are not finite, so there is nothing to probe. If you trained it, "
            "it has diverged: train it again with a lower model.optimizer.learning_rate."
        )
    kinds = torch.finfo(torch.float16)
    fits = (largest <= kinds.max) & ((largest == 0) | (largest >= SMALLEST * kinds.smallest_normal))
    return layers.half() if fits.all() else layers.float()
