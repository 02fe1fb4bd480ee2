"""Spans of texts: T5's, MASS's and BART's, against their procedures in plain loops."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from ssl_zoo.corruption.infilling import Infilling
from ssl_zoo.corruption.token_spans import Fragment, SegmentedSpans, Suffix
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys

TIMES = 6000


def keys(rows: int) -> torch.Tensor:
    return example_keys(0, 1, torch.arange(rows))


def draws(masking, places: int, times: int = TIMES) -> torch.Tensor:
    return masking(torch.ones(times, places, dtype=torch.bool), keys(times)).mask


def runs(row: list[bool]) -> list[int]:
    return [len(list(group)) for hidden, group in itertools.groupby(row) if hidden]


def ways(total: int, parts: int) -> list[tuple[int, ...]]:
    """All ways to cut a number of things into parts that are not empty."""
    return [cut for cut in itertools.product(range(1, total + 1), repeat=parts) if sum(cut) == total]


def test_all_ways_to_cut_hidden_and_visible_places_are_equally_likely_and_they_alternate():
    # Of 9 places 4 are hidden, in 2 spans.
    expected = set()
    for visible, hidden in itertools.product(ways(5, 2), ways(4, 2)):
        stretches = zip(visible, hidden, strict=True)
        expected.add(tuple(bit for shown, gone in stretches for bit in [False] * shown + [True] * gone))
    found = Counter(tuple(row) for row in draws(SegmentedSpans(0.45, 2.0, roll=False), 9).tolist())
    assert set(found) == expected and len(expected) == 12
    error = math.sqrt(TIMES / 12 * (1 - 1 / 12))
    assert all(abs(count - TIMES / 12) < 4.5 * error for count in found.values())


@pytest.mark.parametrize(
    ("raw", "mean", "inputs", "targets"),
    [(552, 2, 512, 126), (568, 3, 512, 114), (581, 5, 512, 105), (591, 10, 512, 99)],
)
def test_lengths_are_those_of_t5(raw, mean, inputs, targets):
    """With one token that ends each."""
    for row in draws(SegmentedSpans(0.15, mean, roll=False), raw, 20).tolist():
        spans = len(runs(row))
        assert raw - sum(row) + spans + 1 == inputs and sum(row) + spans + 1 == targets


def test_the_first_place_is_never_hidden_and_the_last_always_is_unless_rows_are_turned():
    mask = draws(SegmentedSpans(0.15, 3.0, roll=False), 40)
    assert not mask[:, 0].any() and mask[:, -1].all()
    turned = draws(SegmentedSpans(0.15, 3.0, roll=True), 40)
    assert torch.equal(turned.sum(1), mask.sum(1))
    assert (turned.double().mean(0) - 0.15).abs().max() < 4.5 * math.sqrt(0.15 * 0.85 / TIMES)
    # One span is the end, and turned it is anywhere.
    assert draws(SegmentedSpans(0.15, 3.0, roll=False), 12, 100)[:, -2:].all()
    assert draws(SegmentedSpans(0.15, 3.0, roll=True), 12, 400).any(0).all()


def test_something_is_visible_and_something_hidden_where_there_are_two_places():
    for places in range(2, 9):
        for masking in (SegmentedSpans(0.75), SegmentedSpans(0.01), Suffix(), Suffix(1.0)):
            number = draws(masking, places, 50).sum(1)
            assert number.min() >= 1 and number.max() <= places - 1
    single = torch.tensor([[False, True, False]])
    assert not any(kind()(single, keys(1)).mask.any() for kind in (SegmentedSpans, Suffix, Fragment, Infilling))
    for masking in (SegmentedSpans(), Suffix(), Fragment(), Infilling()):
        assert not masking(torch.zeros(3, 5, dtype=torch.bool), keys(3)).mask.any()


@pytest.mark.parametrize(("ratio", "mean"), [(0.5, 1.0), (0.75, 3.0), (0.15, 2.0)])
def test_spans_are_as_long_on_average_as_they_are_said_to_be(ratio, mean):
    for row in draws(SegmentedSpans(ratio, mean, roll=False), 200, 20).tolist():
        assert sum(row) == 200 * ratio and sum(row) / len(runs(row)) == pytest.approx(mean, abs=0.02)


def test_a_suffix_is_as_long_as_any_other():
    mask = draws(Suffix(), 9)
    assert torch.equal(mask, mask.cummax(1).values)
    for ratio in (0.2, 0.9):
        assert float(draws(Suffix(ratio), 200).double().mean()) == pytest.approx(ratio, abs=0.01)
    assert torch.equal(draws(Suffix(1.0), 9, 50), torch.arange(9).expand(50, 9) > 0)
    counts = Counter(mask.sum(1).tolist())
    assert set(counts) == set(range(1, 9))
    assert all(abs(count - TIMES / 8) < 4.5 * math.sqrt(TIMES / 8) for count in counts.values())


def test_a_fragment_is_half_of_each_text_and_stands_at_its_beginning_its_end_or_anywhere():
    mask = draws(Fragment(), 9)
    assert torch.equal(mask.sum(1), torch.full((TIMES,), 4)) and all(len(runs(row)) == 1 for row in mask.tolist())
    starts = Counter(mask.long().argmax(1).tolist())
    for start in range(6):
        chance = 0.6 / 6 + (0.2 if start in (0, 5) else 0)
        assert starts[start] / TIMES == pytest.approx(chance, abs=4.5 * math.sqrt(chance / TIMES))
    lengths = torch.tensor([12, 5, 1, 8])
    real = torch.arange(12) < lengths[:, None]
    assert Fragment()(real, keys(4)).mask.sum(1).tolist() == [6, 2, 0, 4]
    assert draws(Fragment(1.0), 7, 10).all() and (draws(Fragment(0.01), 7, 10).sum(1) == 1).all()


def infilled(places: int, ratio: float, mean: float, times: int) -> np.ndarray:
    """The released procedure text by text: hidden places, spans that are left, and empty spans, ``(times, 3)``."""
    generator, found = np.random.default_rng(0), []
    for _ in range(times):
        budget, lengths = math.ceil(ratio * places), []
        while sum(lengths) < budget:
            lengths.append(generator.poisson(mean))
        lengths[-1] -= sum(lengths) - budget
        spans = [length for length in lengths if length]
        mask, inside = np.zeros(places, bool), np.zeros(places, bool)
        starts = generator.choice(places, len(spans), replace=False)
        for start, length in zip(starts, spans, strict=True):
            mask[start : start + length] = True
            inside[start + 1 : start + length] = True
        found.append((mask.sum(), sum(not inside[start] for start in starts), len(lengths) - len(spans)))
    return np.array(found)


@pytest.mark.parametrize(("places", "ratio", "mean"), [(60, 0.3, 3.0), (24, 0.3, 1.0), (15, 0.5, 3.5)])
def test_infilling_is_the_released_procedure(places, ratio, mean):
    spans = Infilling(ratio, mean).spans(torch.ones(TIMES, places, dtype=torch.bool), keys(TIMES))
    ours = torch.stack([spans.hidden.mask.sum(1), spans.starts.sum(1), spans.inserted.sum(1)], dim=1).numpy()
    theirs = infilled(places, ratio, mean, TIMES)
    error = theirs.std(0) * math.sqrt(2 / TIMES)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 4.5 * error).all()
    assert (np.abs(ours.std(0) - theirs.std(0)) < 0.05 * theirs.std(0) + 0.01).all()
    mask, starts = spans.hidden.mask, spans.starts
    assert mask.sum(1).max() <= math.ceil(ratio * places) and not (starts & ~mask).any()
    # Every run begins with a span, and some spans touch.
    first = mask & ~torch.nn.functional.pad(mask[:, :-1], (1, 0))
    assert not (first & ~starts).any() and (starts & ~first).any()
    assert not (spans.inserted & mask & ~starts).any() and spans.inserted.any()


def test_infilling_hides_its_part_of_a_text_however_many_of_its_spans_are_empty():
    hidden = Infilling(0.3, 0.1)(torch.ones(200, 120, dtype=torch.bool), keys(200)).mask
    # One span in twenty has two tokens or more, which others may overlap.
    assert 0.28 < float(hidden.float().mean()) <= 0.3


def test_what_cannot_work_is_refused():
    for kind in (SegmentedSpans, Suffix, Fragment, Infilling):
        with pytest.raises(InputError, match=r"mask_ratio is 1\.5; give a number above 0"):
            kind(1.5)
        with pytest.raises(InputError, match="hides spans of places in a line"):
            kind()(torch.ones(2, 4, dtype=torch.bool), keys(2), (2, 2))
    with pytest.raises(InputError, match=r"mean_length is 0\.5; give a number of places of at least 1"):
        SegmentedSpans(mean_length=0.5)
    with pytest.raises(InputError, match="mean_length is 0"):
        Infilling(mean_length=0)
    with pytest.raises(InputError, match="mean_length is nan"):
        SegmentedSpans(mean_length=math.nan)
    # Spans would be longer than was asked for, in silence.
    for ratio, mean, most in ((1.0, 3.0, "0.75"), (0.76, 3.0, "0.75"), (0.51, 1.0, "0.5"), (0.7, 2.0, "0.66")):
        with pytest.raises(
            InputError, match=rf"mask_ratio is {ratio}, but spans of {mean:g} .* hide at most {most} of"
        ):
            SegmentedSpans(ratio, mean)
