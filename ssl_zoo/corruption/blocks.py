"""Blocks of neighbouring places that are hidden, in a plane or in a line."""

import math
from typing import Literal

import torch
from torch import Tensor

from ssl_zoo.corruption.hidden import Hidden, require_mask_ratio
from ssl_zoo.corruption.masking import Masking, require_several
from ssl_zoo.corruption.places import ROUNDED_OFF, number_hidden
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# What an example's keys are folded with, so that its draws are independent of each other; 1 is the number's.
BLOCKS, REST, RATIO = 0, 2, 3
# Draws of a row at most, each of which is compared with all places: enough for blocks of a five hundredth of them.
MOST_BLOCKS = 1024


class RandomBlocks(Masking):
    """Hides blocks of patches, or spans of frames, drawn anew at every step (BEiT, arXiv:2106.08254, algorithm 1).

    Blocks of random size, shape and place are hidden one after the other until a row's number of places is reached; of
    the last one only the first lines are, so that the number is exact. A block that reaches over an edge goes on at the
    opposite one: every place is then hidden equally often, which blocks that must lie inside do not manage, as few of
    them touch an edge. With `inverse` blocks are kept and all else is hidden, as in data2vec 2.0 (arXiv:2212.07525,
    section 3.3). Where padding comes last, and ends a line of the plane, blocks lie among what is real.

    Of a row's n places ``floor(mask_ratio * n + u)`` are hidden, u uniform in [0, 1), so that the expectation is
    exactly the ratio; but at least one and, unless the ratio is 1, not all, where there are several.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1]; 1 leaves nothing to see.
        area: Part of a row's places that a block has, at least and at most; uniform in between.
        aspect: Smallest ratio of a block's height to its width, in [0.001, 1]; the largest is its inverse, and the
            ratio's logarithm is uniform in between. In a line a block is a span.
        inverse: Whether the blocks are what is left to see.
        rounding: How the number of hidden places becomes whole: `random` as above, or `up`, which hides equally many in
            all rows of a length, so that what is left of them needs no padding.
        spread: How far the ratio of a row may lie from `mask_ratio`, uniform in between, as in iBOT (arXiv:2111.07832,
            section 3.3); 0 takes the same ratio for all rows.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        mask_ratio: float = 0.6,
        area: tuple[float, float] = (0.08, 0.3),
        aspect: float = 0.3,
        inverse: bool = False,
        rounding: Literal["random", "up"] = "random",
        spread: float = 0.0,
    ) -> None:
        require_mask_ratio(mask_ratio)
        if not 0 <= spread <= min(mask_ratio, 1 - mask_ratio):
            raise InputError(
                f"RandomBlocks: spread is {spread}, and ratios so far from {mask_ratio} would lie below 0 or above 1: "
                "lower it."
            )
        if spread and rounding == "up":
            raise InputError(
                "RandomBlocks: rounding up hides equally many places in all rows, and a spread does not: leave one out."
            )
        if not 0 < area[0] <= area[1] <= 1:
            raise InputError(
                f"RandomBlocks: area is {area}; give two parts of a whole in ascending order, like [0.1, 0.3]."
            )
        if not 1e-3 <= aspect <= 1:
            raise InputError(
                f"RandomBlocks: aspect is {aspect}; give a number of at least 0.001, with which blocks are lines "
                "already, and at most 1."
            )
        self.mask_ratio, self.area, self.aspect, self.inverse = mask_ratio, area, aspect, inverse
        self.rounding, self.spread = rounding, spread
        # So many of the smallest size have the part that is wanted, where they overlap by chance, and a little more.
        drawn, least = spread + (1 - mask_ratio if inverse else mask_ratio), max(area[0], 1e-9)
        self.blocks = max(1, math.ceil(math.log(max(1 - drawn, 1e-3)) / math.log(max(1 - least, 1e-3))) + 2)
        if self.blocks > MOST_BLOCKS:
            raise InputError(
                f"RandomBlocks: blocks of {area[0]:g} of the places, the least that area allows, would take at "
                f"least {self.blocks:,} for every example: raise it, or take RandomPlaces, which hides single places."
            )

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        if self.rounding == "up":
            return self._most(places)
        return min(places, max(1, math.ceil((self.mask_ratio + self.spread) * places) + 1))

    def left(self, places: int) -> int:
        """The most real places of a row of at most so many that can be left to see."""
        if self.rounding == "up":
            return places - self._most(places)
        return places - math.floor((self.mask_ratio - self.spread) * places)

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`."""
        places = maskable.shape[1]
        require_several("RandomBlocks", places)
        columns = 1 if grid is None else grid[1]
        number = self._number(maskable, keys)
        wanted = maskable.sum(1, keepdim=True) - number if self.inverse else number
        # Places in the order in which blocks reach them; those that none reaches, which are few, come after.
        order = self._reached(maskable, keys, columns).masked_fill(~maskable, torch.inf).argsort(dim=1, stable=True)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(places, device=keys.device).expand_as(order))
        taken = (rank < wanted) & maskable
        return Hidden.of_mask(maskable & ~taken if self.inverse else taken, self.slots(places))

    def _number(self, maskable: Tensor, keys: Tensor) -> Tensor:
        """``(B, 1)`` int64, how many places of every row are to be hidden."""
        if self.spread:
            from_mean = self.spread * (2 * uniform(fold_in(keys, RATIO), 1)[:, 0] - 1)
            return number_hidden(maskable, keys, self.mask_ratio + from_mean)
        if self.rounding == "random":
            return number_hidden(maskable, keys, self.mask_ratio)
        count = maskable.sum(1, keepdim=True)
        number = torch.ceil(self.mask_ratio * count.double() - ROUNDED_OFF).long()
        most = count if self.mask_ratio == 1 else (count - 1).clamp(min=1)
        return number.clamp(min=1).minimum(most).minimum(count)

    def _most(self, places: int) -> int:
        """How many of so many places are hidden where the number is rounded up."""
        number = max(1, math.ceil(self.mask_ratio * places - ROUNDED_OFF))
        return number if self.mask_ratio == 1 else min(number, max(1, places - 1))

    def _reached(self, maskable: Tensor, keys: Tensor, columns: int) -> Tensor:
        """``(B, N)`` float64: the number of the first block that reaches a place, and a fraction for where in it."""
        count = maskable.sum(1)[:, None].double()
        rows = (count / columns).ceil().clamp(min=1)  # of what is real
        size, shape, top, left = uniform(fold_in(keys, BLOCKS), 4, self.blocks).double().unbind(1)
        size = (self.area[0] + (self.area[1] - self.area[0]) * size) * count
        aspect = self.aspect ** (2 * shape - 1)  # width to height
        width = (size * aspect).sqrt().round().clamp(1, columns)
        height = (size / width).round().clamp(min=1).minimum(rows)

        place = torch.arange(maskable.shape[1], device=keys.device).view(1, 1, -1)
        # Lines and columns that a place is from a block's first ones, around the edges, (B, blocks, N).
        below = (place // columns - (top * rows).floor()[..., None]) % rows[..., None]
        beside = (place % columns - (left * columns).floor()[..., None]) % columns
        inside = (below < height[..., None]) & (beside < width[..., None])
        within = (below * columns + beside) / (maskable.shape[1] + columns)
        block = torch.arange(self.blocks, device=keys.device).view(1, -1, 1)
        first = torch.where(inside, block + within, torch.inf).amin(1)
        rest = self.blocks + uniform(fold_in(keys, REST), maskable.shape[1]).double()
        return torch.where(first.isinf(), rest, first)
