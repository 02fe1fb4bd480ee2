"""I-JEPA's blocks against an exact enumeration of the law that they are drawn by, and contexts against plain sets."""

import math
from collections import Counter
from fractions import Fraction
from itertools import product

import pytest
import torch

from ssl_zoo.corruption.target_blocks import Blocks, TargetBlocks
from ssl_zoo.errors import InputError

Size = tuple[int, int]
SCALE, ASPECT, CONTEXT_SCALE = (0.15, 0.2), (0.75, 1.5), (0.85, 1.0)


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-(2**62), 2**62, (count,), generator=torch.Generator().manual_seed(seed))


def drawn(blocks: TargetBlocks, grid: Size, count: int, seed: int = 0) -> Blocks:
    return blocks(torch.ones(count, math.prod(grid), dtype=torch.bool), keys(count, seed), grid)


def sizes(grid: Size, scale: tuple[float, float]) -> list[Size]:
    """What the paper allows, of whole places."""
    found = []
    for tall, wide in product(range(1, grid[0] + 1), range(1, grid[1] + 1)):
        area = Fraction(tall * wide, math.prod(grid))
        aspect = Fraction(tall, grid[0]) / Fraction(wide, grid[1])
        shaped = min(grid) == 1 or ASPECT[0] <= aspect <= ASPECT[1]
        if Fraction(str(scale[0])) <= area <= Fraction(str(scale[1])) and shaped:
            found.append((tall, wide))
    return found


def starts(grid: Size, size: Size) -> list[Size]:
    return list(product(range(grid[0] - size[0] + 1), range(grid[1] - size[1] + 1)))


def places(grid: Size, start: Size, size: Size) -> frozenset[int]:
    rows, columns = (range(first, first + length) for first, length in zip(start, size, strict=True))
    return frozenset(row * grid[1] + column for row, column in product(rows, columns))


def block_sets(blocks: Blocks) -> list[list[frozenset[int]]]:
    found = []
    for of_example, real in zip(blocks.targets.tolist(), blocks.targets_real.tolist(), strict=True):
        found.append([])
        for block, is_real in zip(of_example, real, strict=True):
            kept = [place for place, there in zip(block, is_real, strict=True) if there]
            assert len(set(kept)) == len(kept)
            found[-1].append(frozenset(kept))
    return found


def context_sets(blocks: Blocks) -> list[set[int]]:
    found = []
    for slots, real in zip(blocks.context.tolist(), blocks.context_real.tolist(), strict=True):
        kept = [place for place, there in zip(slots, real, strict=True) if there]
        assert kept == sorted(set(kept)) == slots[: len(kept)]  # left over ones come last
        assert len(set(slots)) == len(slots)
        found.append(set(kept))
    return found


@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (14, 14), (24, 5), (40, 1)])
def test_every_size_and_position_is_equally_likely_and_places_are_covered_as_an_enumeration_says(grid):
    allowed, count = sizes(grid, SCALE), 3000
    law = {
        places(grid, start, size): Fraction(1, len(allowed) * len(starts(grid, size)))
        for size in allowed
        for start in starts(grid, size)
    }
    assert sum(law.values()) == 1
    found = Counter(block for example in block_sets(drawn(TargetBlocks(), grid, count)) for block in example)
    assert set(found) == set(law)  # those in the last row and column too
    total = found.total()
    assert total == 4 * count
    for block, chance in law.items():
        assert abs(found[block] - total * chance) < 5 * math.sqrt(total * chance)
    for place in range(math.prod(grid)):
        chance = float(sum(each for block, each in law.items() if place in block))
        times = sum(number for block, number in found.items() if place in block)
        assert chance > 0 and abs(times / total - chance) < 5 * math.sqrt(chance * (1 - chance) / total)


def test_blocks_of_an_example_are_independent():
    grid, count = (7, 7), 3000
    found = block_sets(drawn(TargetBlocks(), grid, count))
    same = sum(first == second for first, second, *_ in found) / count
    assert abs(same - 1 / 25) < 5 * math.sqrt(1 / 25 * 24 / 25 / count)


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (24, 5), (40, 1)])
def test_the_context_is_a_block_without_targets_or_where_that_is_too_little_all_that_is_no_target(grid):
    blocks = drawn(TargetBlocks(), grid, 100)
    around = [places(grid, start, size) for size in sizes(grid, CONTEXT_SCALE) for start in starts(grid, size)]
    least = math.prod(grid) - 4 * max(map(math.prod, sizes(grid, SCALE)))
    seen = set()
    for targets, context in zip(block_sets(blocks), context_sets(blocks), strict=True):
        others = set(range(math.prod(grid))) - set().union(*targets)
        possible = [each & others for each in around]
        assert context in [each for each in possible if len(each) >= least] or (
            context == others and min(map(len, possible)) < least
        )
        assert len(context) >= least
        seen |= context
    assert seen == set(range(math.prod(grid)))
    assert blocks.targets.shape[2] == max(map(math.prod, sizes(grid, SCALE)))


def test_a_context_that_is_too_large_loses_places_wherever_they_stand():
    grid, count = (8, 8), 2000
    whole, thinned = (drawn(TargetBlocks(context_scale=(1.0, 1.0), most_seen=part), grid, count) for part in (1.0, 0.3))
    assert torch.equal(whole.targets, thinned.targets) and thinned.context.shape == (count, 19)
    expected, spread, found = [0.0] * 64, [0.0] * 64, [0] * 64
    for before, after in zip(context_sets(whole), context_sets(thinned), strict=True):
        chance = min(1.0, 19 / len(before))
        assert after <= before and len(after) == min(19, len(before))
        for place in before:
            expected[place] += chance
            spread[place] += chance * (1 - chance)
            found[place] += place in after
    for place in range(64):
        assert abs(found[place] - expected[place]) < 5 * math.sqrt(spread[place])


def test_no_context_is_cut_below_what_every_example_has():
    blocks = drawn(TargetBlocks(most_seen=0.01), (7, 7), 50)
    assert blocks.context.shape == (50, 13) and blocks.context_real.all() and blocks.targets_real.all()


@pytest.mark.parametrize(
    ("grid", "most_seen", "whole"), [((7, 7), 0.01, True), ((7, 7), 1, False), ((14, 14), 0.01, False)]
)
def test_blocks_are_whole_where_no_slot_is_left_over(grid, most_seen, whole):
    real = torch.ones(200, math.prod(grid), dtype=torch.bool)
    blocks = TargetBlocks(most_seen=most_seen)(real, keys(200), grid, padded=False)
    assert blocks.whole == whole == bool(blocks.context_real.all() and blocks.targets_real.all())
    assert not TargetBlocks(most_seen=most_seen)(real, keys(200), grid).whole


def test_an_examples_blocks_are_its_own_whatever_the_company_and_the_padding():
    grid, drawing = (9, 4), TargetBlocks(most_seen=0.6)
    rows = torch.tensor([9, 3, 6, 1, 9])
    real = torch.arange(36) < 4 * rows[:, None]
    together = drawing(real, keys(5), grid)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = drawing(real[order], keys(5)[order], grid)
    for one, other in zip(together[:4], shuffled[:4], strict=True):
        assert torch.equal(one[order], other)
    for example in (1, 2, 4):
        alone = TargetBlocks()(
            real[example : example + 1, : 4 * rows[example]], keys(5)[example : example + 1], (int(rows[example]), 4)
        )
        assert block_sets(alone)[0] == block_sets(together)[example]
    whole = TargetBlocks()(real, keys(5), grid)
    for targets, context, number in zip(block_sets(whole), context_sets(whole), rows.tolist(), strict=True):
        assert context and not context & set().union(*targets)
        assert max(context | set().union(*targets)) < 4 * number


def test_new_keys_draw_new_blocks():
    assert block_sets(drawn(TargetBlocks(), (14, 14), 1, 0)) != block_sets(drawn(TargetBlocks(), (14, 14), 1, 1))


@pytest.mark.parametrize("grid", [(3, 3), (4, 4), (5, 5), (6, 6), (5, 1), (1, 30), (2, 9), (300, 5)])
def test_grids_where_no_size_fits_get_near_ones_and_always_something_to_see(grid):
    for targets, context in zip(
        *(of(drawn(TargetBlocks(), grid, 100)) for of in (block_sets, context_sets)), strict=True
    ):
        assert all(targets) and len(context) >= max(1, math.prod(grid) - 4 * max(map(len, targets)))
        assert max(map(len, targets)) <= max(1, math.prod(grid) / 4)


def test_examples_of_a_handful_of_places_predict_fewer_blocks():
    real = torch.arange(30) < torch.tensor([[1], [2], [4], [5], [30]])
    blocks = TargetBlocks()(real, keys(5))
    assert [len(context) for context in context_sets(blocks)][:2] == [1, 1]
    assert [sum(bool(block) for block in example) for example in block_sets(blocks)] == [0, 1, 3, 4, 4]


def test_what_leaves_nothing_to_predict_from_is_refused_in_a_sentence():
    for settings, message in (
        ({"count": 0}, "targets is 0; give a number of blocks of at least 1"),
        ({"count": 5}, r"5 targets of 0\.2 of the grid could leave nothing to predict them from"),
        ({"scale": (0.2, 0.1)}, r"target_scale is \[0\.2, 0\.1\]; give two numbers above 0 and at most 1"),
        ({"context_scale": (0.5, 1.1)}, r"context_scale is \[0\.5, 1\.1\]"),
        ({"aspect": (0.0, 1.5)}, r"aspect is \[0\.0, 1\.5\]; give two numbers above 0, the larger one last"),
        ({"most_seen": 0.0}, r"most_seen is 0\.0; give a part of the grid above 0 and at most 1"),
    ):
        with pytest.raises(InputError, match=message):
            TargetBlocks(**settings)
    with pytest.raises(InputError, match=r"^I-JEPA predicts 4 blocks, but these inputs have 4 places: [^.]*\.$"):
        drawn(TargetBlocks(), (2, 2), 1)
