"""Spans of a text that are hidden from an encoder and that a decoder writes: those of T5 and MASS, and a text's end."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.corruption.hidden import Hidden, require_mask_ratio
from ssl_zoo.corruption.masking import Masking, require_several
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# What an example's keys are folded with, so that its draws are independent of each other.
SHOWN, HIDDEN, TURN, LENGTH, START = range(5)
# Of MASS's fragments, the shares that stand at the beginning and at the end of a text; the others stand anywhere.
AT_BEGINNING, AT_END = 0.2, 0.2


class TextSpans(NamedTuple):
    """Hidden places of texts, and the spans that they form.

    Attributes:
        hidden: the places.
        starts: ``(B, N)`` bool, hidden places at which a span begins; two spans may touch.
        inserted: ``(B, N)`` bool, places in front of which a span of no tokens stands.
    """

    hidden: Hidden
    starts: Tensor
    inserted: Tensor

    @classmethod
    def of_runs(cls, hidden: Hidden) -> Self:
        """Every run of hidden places is one span."""
        mask = hidden.mask
        return cls(hidden, mask & ~F.pad(mask[:, :-1], (1, 0)), torch.zeros_like(mask))

    def marks(self) -> Tensor:
        """``(B, N, 2)`` bool, in front of every place: whether an empty span stands there, and whether one begins."""
        return torch.stack([self.inserted, self.starts], dim=2)

    def first(self, most: int) -> Self:
        """The first so many spans of every row; what others would hide is visible."""
        marks = self.marks()
        number = marks.flatten(1).cumsum(1).view(marks.shape)
        mask, kept = self.hidden.mask & (number[..., 1] <= most), marks & (number <= most)
        valid = self.hidden.valid & mask.gather(1, self.hidden.positions)
        slots = (~valid).long().argsort(dim=1, stable=True)  # those with a hidden place stay in front
        hidden = Hidden(mask, self.hidden.positions.gather(1, slots), valid.gather(1, slots))
        return type(self)(hidden, kept[..., 1], kept[..., 0])


class SegmentedSpans(Masking):
    """Hides spans of random lengths (T5, Raffel et al., 2019, arXiv:1910.10683, section 3.3.4, and its released code).

    Of a row's n places h = round(mask_ratio * n) are hidden, at least one and not all, in s = round(h / mean_length)
    spans, at least one. The hidden and the visible places are each cut into s stretches, all ways to cut being equally
    likely, which then alternate, a visible one first. So the first place is never hidden and the last one always is,
    and a single span is always a text's end. `roll` turns the row by a random number of places; T5's own do not turn.

    Args:
        mask_ratio: Part of the places to hide, above 0. Every span has a visible place in front of it, so that it is
            mean_length / (mean_length + 1) at most.
        mean_length: Mean number of places of a span, at least 1.
        roll: Whether spans lie anywhere, and may run over the end of the row to its beginning.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(self, mask_ratio: float = 0.15, mean_length: float = 3.0, roll: bool = True) -> None:
        require_mask_ratio(mask_ratio)
        if not mean_length >= 1:  # as of nan
            raise InputError(f"SegmentedSpans: mean_length is {mean_length}; give a number of places of at least 1.")
        if mask_ratio > (most := mean_length / (mean_length + 1)):
            raise InputError(
                f"SegmentedSpans: mask_ratio is {mask_ratio}, but spans of {mean_length:g} places, each with a visible "
                f"one in front, hide at most {math.floor(100 * most) / 100:g} of a text: lower mask_ratio, raise "
                "mean_length, or take Suffix or RandomPlaces."
            )
        self.mask_ratio, self.mean_length, self.roll = mask_ratio, mean_length, roll

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return min(places, math.ceil(self.mask_ratio * places) + 1)

    def most_spans(self, places: int) -> int:
        """The most spans of a row of at most so many places, one more where the last may run over the row's end."""
        number = max(1, round(self.mask_ratio * places))
        return min(super().most_spans(places), max(1, round(number / self.mean_length)) + self.roll)

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`, of places in a line."""
        require_line("SegmentedSpans", maskable, grid)
        count, width = maskable.sum(1, keepdim=True), maskable.shape[1]
        number = torch.round(self.mask_ratio * count.double()).long().clamp_min(1).minimum(count - 1).clamp_min(0)
        spans = torch.round(number / self.mean_length).long().clamp_min(1).minimum(number).minimum(count - number)
        visible, hidden = (
            _lengths(total, spans, uniform(fold_in(keys, key), width))
            for total, key in ((count - number, SHOWN), (number, HIDDEN))
        )
        # Every end of a stretch changes what follows it, those of stretches that are not there behind all places.
        ends = torch.stack([visible, hidden], dim=2).flatten(1).cumsum(1)[:, :-1].clamp_max(width)
        changes = torch.zeros(len(keys), width + 1, dtype=torch.int64, device=keys.device)
        is_hidden = changes.scatter_add_(1, ends, torch.ones_like(ends)).cumsum(1)[:, :-1] % 2 == 1
        place = maskable.cumsum(1) - 1  # among those that may be hidden
        if self.roll:
            place = (place - (uniform(fold_in(keys, TURN), 1) * count).long()) % count.clamp_min(1)
        return Hidden.of_mask(is_hidden.gather(1, place.clamp_min(0)) & maskable, self.slots(width))


class Suffix(Masking):
    """Hides the end of a text, for a prefix language model (T5, arXiv:1910.10683, section 3.2.3).

    Of a row's n places 1 to n - 1 are hidden, with the ratio 0.5 every number of them equally often. With others the
    part that is hidden is drawn from as wide a range around the ratio as there is.

    Args:
        mask_ratio: Part of the places to hide on average, in (0, 1]; 1 leaves the first place alone visible.

    Raises:
        InputError: `mask_ratio` is out of its range.
    """

    def __init__(self, mask_ratio: float = 0.5) -> None:
        require_mask_ratio(mask_ratio)
        self.mask_ratio = mask_ratio

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return max(1, places - 1)

    def most_spans(self, places: int) -> int:
        """One."""
        return 1

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`, of places in a line."""
        require_line("Suffix", maskable, grid)
        count = maskable.sum(1, keepdim=True)
        least, most = max(0.0, 2 * self.mask_ratio - 1), min(1.0, 2 * self.mask_ratio)
        part = least + (most - least) * uniform(fold_in(keys, LENGTH), 1)
        number = (1 + (part * (count - 1)).long()).minimum(count - 1)
        return Hidden.of_mask((maskable.cumsum(1) > count - number) & maskable, self.slots(maskable.shape[1]))


class Fragment(Masking):
    """Hides one fragment of a text (MASS, Song et al., 2019, arXiv:1905.02450, section 3.2).

    Of a row's n places it has round(mask_ratio * n), at least one. As in the released code a fifth of the fragments
    stand at the beginning, a fifth at the end, and the others anywhere.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1]; 1 makes a language model of the decoder.

    Raises:
        InputError: `mask_ratio` is out of its range.
    """

    def __init__(self, mask_ratio: float = 0.5) -> None:
        require_mask_ratio(mask_ratio)
        self.mask_ratio = mask_ratio

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return max(1, math.floor(self.mask_ratio * places + 0.5))

    def most_spans(self, places: int) -> int:
        """One."""
        return 1

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`, of places in a line."""
        require_line("Fragment", maskable, grid)
        count = maskable.sum(1, keepdim=True)
        most = count if self.mask_ratio == 1 else (count - 1).clamp_min(0)  # something is left to see
        number = torch.round(self.mask_ratio * count.double()).long().clamp_min(1).minimum(most)
        which, where = uniform(fold_in(keys, START), 2).split(1, dim=1)
        start = (where * (count - number + 1)).long()
        start = torch.where(which < AT_BEGINNING + AT_END, count - number, start)
        start = torch.where(which < AT_BEGINNING, 0, start)
        place = maskable.cumsum(1) - 1
        mask = (place >= start) & (place < start + number) & maskable
        return Hidden.of_mask(mask, self.slots(maskable.shape[1]))


def require_line(owner: str, maskable: Tensor, grid: tuple[int, int] | None) -> None:
    """Raise `InputError` where places lie in a plane, or there is only one."""
    if grid is not None and grid[1] > 1:
        raise InputError(
            f"{owner} hides spans of places in a line, and here they lie in a plane: take RandomBlocks or RandomPlaces."
        )
    require_several(owner, maskable.shape[1])


def _lengths(total: Tensor, parts: Tensor, draws: Tensor) -> Tensor:
    """``(B, N)`` int64 lengths of the parts that so many things are cut into, all ways being equally likely; then 0.

    Args:
        total: ``(B, 1)`` int64, number of things.
        parts: ``(B, 1)`` int64, number of parts, none of which is empty.
        draws: ``(B, N)`` float32 from [0, 1), one for every thing that there can be.
    """
    thing = torch.arange(draws.shape[1], device=draws.device)
    # Behind the things with the smallest draws a part ends; behind the last one that needs no draw.
    order = draws.masked_fill(thing >= total - 1, 2.0).argsort(dim=1, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, thing.expand_as(order))
    part = F.pad((rank < parts - 1)[:, :-1], (1, 0)).cumsum(1)
    return torch.zeros_like(order).scatter_add_(1, part, (thing < total).long().expand_as(part))
