"""Spans of frames that are hidden, as in wav2vec 2.0, for a whole batch at once and in shapes known beforehand."""

import math

import torch
from torch import Tensor

from ssl_zoo.corruption.hidden import Hidden, require_mask_ratio
from ssl_zoo.corruption.masking import Masking, require_several
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# What an example's keys are folded with, so that its draws are independent of each other.
NUMBER, STARTS = range(2)


class RandomSpans(Masking):
    """Hides spans of frames, drawn anew at every step (wav2vec 2.0, Baevski et al., 2020, arXiv:2006.11477, 3.1, 4.2).

    A recording of T real frames gets ``floor(mask_ratio * T / length + u)`` spans of `length` frames, u uniform in
    [0, 1), but at least `least`. Their starts are drawn without replacement from the T - length + 1 frames at which a
    whole span fits, so that no span reaches into padding; spans may overlap, and with the paper's 0.65 and 10 about
    half of the frames are hidden. In a recording shorter than two spans a span is half of it, and never does one start
    everywhere: something must be left to see. Where the spans of a short recording happen to cover all of it, only the
    first that was drawn is hidden. Recordings of different lengths are not made to have equally many hidden frames:
    that would cut spans up.

    Args:
        mask_ratio: Part of the frames to hide if spans did not overlap, in (0, 1].
        length: Frames of a span.
        least: Spans that every recording gets, where they fit; at least 1.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(self, mask_ratio: float = 0.65, length: int = 10, least: int = 2) -> None:
        require_mask_ratio(mask_ratio)
        if length < 1:
            raise InputError(f"mask_length is {length}; give a number of frames of at least 1.")
        if least < 1:
            raise InputError(f"RandomSpans: least is {least}; give a number of spans of at least 1.")
        self.mask_ratio, self.length, self.least = mask_ratio, length, least

    def most_spans(self, frames: int) -> int:
        """The most spans that a recording of at most so many frames can get."""
        # Three frames are the shortest recording's worst case: its spans have half of three frames, rounded down.
        most = math.floor(self.mask_ratio * max(frames / self.length, 3.0)) + 1
        return min(frames, max(most, self.least))

    def slots(self, places: int) -> int:
        """The most frames of so many that can be hidden, K."""
        return min(places, self.most_spans(places) * self.length)

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`, of places in a line whose padding is on the right."""
        if grid is not None and grid[1] > 1:
            raise InputError(
                "RandomSpans hides spans of places in a line, and here they lie in a plane: take RandomBlocks or "
                "RandomPlaces."
            )
        real, frames = maskable, maskable.shape[1]
        require_several("RandomSpans", frames)
        count = real.sum(1, keepdim=True)
        length = (count // 2).clamp(1, self.length)
        places = count - length + 1
        number = torch.floor(self.mask_ratio * count / length + uniform(fold_in(keys, NUMBER), 1)).long()
        number = number.clamp_min(self.least).minimum((places - 1).clamp_min(1)).minimum(count)

        # The frames with the smallest draws, among those where a span fits, are starts.
        fits = torch.arange(frames, device=real.device) < places
        draws = uniform(fold_in(keys, STARTS), frames).masked_fill(~fits, 2.0)
        starts = draws.argsort(dim=1, stable=True)[:, : self.most_spans(frames)]
        drawn = (torch.arange(starts.shape[1], device=real.device) < number).long()
        # One more span covers a frame from its start on, one fewer from its end on.
        change = torch.zeros(len(real), frames + 1, dtype=torch.int64, device=real.device)
        change.scatter_add_(1, starts, drawn).scatter_add_(1, (starts + length).clamp_max(frames), -drawn)
        hidden = (change.cumsum(1)[:, :-1] > 0) & real
        # Of one frame nothing else could be hidden; of several a span is half at most.
        covered = (hidden == real).all(1, keepdim=True) & (count > 1)
        place, first = torch.arange(frames, device=real.device), starts[:, :1]
        alone = (place >= first) & (place < first + length) & real
        return Hidden.of_mask(torch.where(covered, alone, hidden), self.slots(frames))
