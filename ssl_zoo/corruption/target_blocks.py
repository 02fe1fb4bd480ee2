"""Blocks of places to predict and the context to predict them from, as in I-JEPA, in shapes known beforehand."""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import draw, fold_in, uniform

Range = tuple[float, float]

# What an example's keys are folded with, so that its draws are independent of each other.
BLOCKS, THINNING = range(2)
PER_BLOCK = 3  # draws: size, row, column


class Blocks(NamedTuple):
    """M blocks of every example of a batch, of at most T places each, and a context of at most C places.

    Attributes:
        context: ``(B, C)`` int64, the places that are seen, ascending, and in slots that are left over, others.
        context_real: ``(B, C)`` bool, True where a slot of `context` holds a place of the context.
        targets: ``(B, M, T)`` int64, the places of every block, row by row; 0 in slots that are left over.
        targets_real: ``(B, M, T)`` bool, True where a slot of `targets` holds a place of its block.
        whole: whether no slot can be left over, whatever is drawn, so that nothing has to be hidden from attention.
    """

    context: Tensor
    context_real: Tensor
    targets: Tensor
    targets_real: Tensor
    whole: bool


class TargetBlocks:
    """Draws blocks to predict, and a context that has no place of any of them (I-JEPA, arXiv:2301.08243, 3 and A.1).

    A block has any size in whole places whose area lies within the scale and whose height divided by its width, both
    as parts of the grid's, lies within the aspect ratios, all such sizes being equally likely; where no size does, the
    nearest one. All positions at which it fits are equally likely, the last row and the last column included, and
    blocks may overlap. The context is one more block, without the places of the others. It never has fewer places than
    the grid has outside of disjoint blocks of the largest size: where it would, it is all that is no target. On a line
    of places, such as frames, blocks are spans. An example of which only some rows are real gets blocks of these.

    Args:
        count: Blocks to predict, M.
        scale: Least and largest part of the grid that a block covers.
        aspect: Least and largest ratio of a block's height to its width, as parts of the grid's.
        context_scale: The same as `scale` for the block that the context is cut from.
        most_seen: Part of the grid that the context may have at most; where it has more, some of its places are left
            out at random. It is a limit of the cost: shapes are made for the largest context that there can be.

    Raises:
        InputError: an argument is out of its range, or blocks could cover the whole grid.
    """

    def __init__(
        self,
        count: int = 4,
        scale: Range = (0.15, 0.2),
        aspect: Range = (0.75, 1.5),
        context_scale: Range = (0.85, 1.0),
        most_seen: float = 1.0,
    ) -> None:
        if count < 1:
            raise InputError(f"targets is {count}; give a number of blocks of at least 1.")
        for name, (least, most), limit in (
            ("target_scale", scale, 1.0), ("context_scale", context_scale, 1.0), ("aspect", aspect, math.inf)
        ):  # fmt: skip
            if not 0 < least <= most <= limit:
                bound = "" if limit == math.inf else " and at most 1"
                raise InputError(f"{name} is {[least, most]}; give two numbers above 0{bound}, the larger one last.")
        if count * scale[1] >= 1:
            raise InputError(
                f"{count} targets of {scale[1]} of the grid could leave nothing to predict them from: lower targets or "
                "target_scale."
            )
        if not 0 < most_seen <= 1:
            raise InputError(f"most_seen is {most_seen}; give a part of the grid above 0 and at most 1.")
        self.count, self.scale, self.aspect, self.context_scale = count, scale, aspect, context_scale
        self.most_seen = most_seen

    def __call__(self, real: Tensor, keys: Tensor, grid: tuple[int, int] | None = None, padded: bool = True) -> Blocks:
        """Draws the blocks of a batch.

        Args:
            real: ``(B, N)`` bool, True where a place is real; padding is on the right, in whole rows.
            keys: ``(B,)`` int64; what an example gets depends on its key and on its number of real rows alone.
            grid: rows and columns of the places, which are numbered row by row; None where they lie in a line.
            padded: whether there may be places that are not real.

        Raises:
            InputError: the grid has too few places.
        """
        rows, columns = grid or (real.shape[1], 1)
        if rows * columns <= self.count:
            raise InputError(
                f"I-JEPA predicts {self.count} blocks, but these inputs have {rows * columns} places: take smaller "
                "patches or larger inputs, or lower targets."
            )
        height = (real.sum(1) // columns)[:, None]  # (B, 1)
        sizes = self._sizes(rows, columns, real.device)
        draws = draw(fold_in(keys, BLOCKS), PER_BLOCK * (self.count + 1)).uniform.unflatten(1, (-1, PER_BLOCK))
        target = _boxes(sizes.targets, draws[:, : self.count], height, columns)
        around = _boxes(sizes.contexts, draws[:, self.count :], height, columns)

        drawn = torch.arange(self.count, device=real.device) < height * columns - 1  # fewer in a handful of places
        is_target = (_inside(target, rows, columns) & drawn[..., None]).any(1)
        context = _inside(around, rows, columns)[:, 0] & ~is_target
        enough = context.sum(1, keepdim=True) >= sizes.guaranteed[height]
        context = torch.where(enough, context, ~is_target) & real
        slots = min(sizes.most_context, max(sizes.least_context, math.floor(self.most_seen * rows * columns)))
        if slots < sizes.most_context:
            order = uniform(fold_in(keys, THINNING), rows * columns).masked_fill(~context, 2.0).argsort(1)
            kept = torch.zeros_like(context).scatter(1, order[:, :slots], True)
            context = context & kept
        seen = Hidden.of_mask(context, slots)

        top, left, tall, wide = (each[..., None] for each in target)
        slot = torch.arange(sizes.largest_target, device=real.device)
        places = (top + slot // wide) * columns + left + slot % wide
        targets_real = (slot < tall * wide) & drawn[..., None]
        whole = not padded and sizes.of_one_area and slots == sizes.least_context
        return Blocks(seen.positions, seen.valid, places.where(targets_real, 0), targets_real, whole)

    def _sizes(self, rows: int, columns: int, device: torch.device) -> "_Sizes":
        return _sizes(rows, columns, self.count, self.scale, self.context_scale, self.aspect, device)


class _Sizes(NamedTuple):
    """The sizes that blocks may have, of every number of real rows up to R.

    Attributes:
        targets: ``(R + 1, S, 2)`` int64 heights and widths and ``(R + 1)`` int64, how many of the S are sizes.
        contexts: the same of the block that the context is cut from.
        guaranteed: ``(R + 1,)`` int64, the least number of places of a context.
        least_context: the same where all rows are real.
        of_one_area: whether all blocks have equally many places where all rows are real.
        largest_target: the most places of a block.
        most_context: the most places of a context.
    """

    targets: tuple[Tensor, Tensor]
    contexts: tuple[Tensor, Tensor]
    guaranteed: Tensor
    least_context: int
    of_one_area: bool
    largest_target: int
    most_context: int


@lru_cache(maxsize=64)
def _sizes(
    rows: int, columns: int, count: int, scale: Range, context_scale: Range, aspect: Range, device: torch.device
) -> _Sizes:
    """Computed once for every size of grid, on the host."""
    total = torch.arange(rows + 1) * columns
    largest = ((total - 1) // count).clamp_min(1)  # so many are sure to leave something
    targets = _allowed(rows, columns, scale, aspect, largest)
    contexts = _allowed(rows, columns, context_scale, aspect, total)
    areas = targets[0].prod(2)
    most = areas.amax(1)
    guaranteed = (total - most * (total - 1).clamp(0, count)).clamp_min(0)
    least = areas.masked_fill(areas == 0, rows * columns).amin(1)
    alike = bool(most[-1] == least[-1])
    counts = int(guaranteed[-1]), alike, int(most.max()), max(1, int((total - least)[1:].max()))
    blocks, around = ((sizes.to(device), number.to(device)) for sizes, number in (targets, contexts))
    return _Sizes(blocks, around, guaranteed.to(device), *counts)


def _allowed(rows: int, columns: int, scale: Range, aspect: Range, largest: Tensor) -> tuple[Tensor, Tensor]:
    """Sizes ``(R + 1, S, 2)`` for every number of real rows, and how many they are ``(R + 1,)``; others are 0."""
    real = torch.arange(rows + 1, dtype=torch.float64)[:, None, None]
    tall = torch.arange(1, rows + 1, dtype=torch.float64)[:, None]
    wide = torch.arange(1, columns + 1, dtype=torch.float64)
    area = tall * wide / (real * columns)
    off = _outside(area, scale)
    if min(rows, columns) > 1:  # a span has no shape
        off = off + _outside(tall / real / (wide / columns), aspect)
    off = off.masked_fill((tall > real) | (tall * wide > largest[:, None, None]), math.inf).flatten(1)
    fitting = off <= off.amin(1, keepdim=True) + 1e-9
    fitting[0] = False
    number = fitting.sum(1)
    first = fitting.long().argsort(dim=1, descending=True, stable=True)[:, : int(number.max())]
    sizes = torch.stack([first // columns + 1, first % columns + 1], dim=2)
    return sizes * fitting.gather(1, first)[..., None], number


def _outside(values: Tensor, allowed: Range) -> Tensor:
    """By what factor values are below or above a range, as a logarithm; 0 within."""
    least, most = (math.log(bound) for bound in allowed)
    found = values.log()
    return (least - found).clamp_min(0) + (found - most).clamp_min(0)


def _boxes(
    sizes: tuple[Tensor, Tensor], draws: Tensor, height: Tensor, columns: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width ``(B, M)`` int64 of blocks, of draws ``(B, M, 3)``, in `height` ``(B, 1)`` rows."""
    table, number = sizes
    chosen = table[height, _choice(draws[..., 0], number[height])]
    tall, wide = chosen.unbind(2)
    return _choice(draws[..., 1], height - tall + 1), _choice(draws[..., 2], columns - wide + 1), tall, wide


def _choice(draws: Tensor, number: Tensor) -> Tensor:
    """One of 0, 1, ..., number - 1, from a draw in [0, 1)."""
    return torch.minimum((draws * number).long(), number - 1).clamp_min(0)  # the product may round up


def _inside(boxes: tuple[Tensor, Tensor, Tensor, Tensor], rows: int, columns: int) -> Tensor:
    """``(B, M, N)`` bool, which places of the grid lie in each block."""
    top, left, tall, wide = (each[..., None] for each in boxes)
    row, column = (torch.arange(number, device=top.device) for number in (rows, columns))
    in_row, in_column = (row >= top) & (row < top + tall), (column >= left) & (column < left + wide)
    return (in_row[..., None] & in_column[..., None, :]).flatten(2)
