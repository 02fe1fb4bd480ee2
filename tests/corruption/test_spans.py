"""wav2vec 2.0's spans: against the paper's procedure in plain loops, and what holds for every draw exactly."""

import numpy as np
import pytest
import torch

from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys


def keys(rows: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def real(counts: list[int], frames: int) -> torch.Tensor:
    return torch.arange(frames) < torch.tensor(counts)[:, None]


def runs(row: torch.Tensor) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.numpy().astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def by_loop(frames: int, ratio: float, length: int, least: int, times: int) -> np.ndarray:
    """The paper's procedure for one recording after the other: ``(times, frames)`` bool."""
    generator = np.random.default_rng(0)
    masks = np.zeros((times, frames), dtype=bool)
    for row in masks:
        number = max(least, int(ratio * frames / length + generator.random()))
        for start in generator.choice(frames - length + 1, number, replace=False):
            row[start : start + length] = True
    return masks


@pytest.mark.parametrize(
    ("frames", "ratio", "length", "least"),
    [(99, 0.65, 10, 2), (400, 0.65, 10, 2), (50, 0.3, 4, 2), (30, 0.1, 6, 2)],
)
def test_shares_and_places_are_those_of_the_papers_procedure(frames, ratio, length, least):
    times = 4000
    ours = RandomSpans(ratio, length, least)(real([frames] * times, frames), keys(times)).mask.numpy()
    theirs = by_loop(frames, ratio, length, least, times)
    # The masked share of a recording: mean and spread.
    for statistic in (np.mean, np.std):
        shares = [statistic(masks.mean(1)) for masks in (ours, theirs)]
        assert abs(shares[0] - shares[1]) < 5 * theirs.mean(1).std() * (2 / times) ** 0.5
    # Every frame's chance: smaller at the edges, which fewer spans reach.
    rates, expected = ours.mean(0), theirs.mean(0)
    error = np.sqrt(2 * expected * (1 - expected) / times) + 1e-3
    assert (np.abs(rates - expected) < 5 * error).all()
    # How masked frames go together: lengths of runs.
    lengths = [np.mean([length for row in masks for length in runs(torch.tensor(row))]) for masks in (ours, theirs)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.03)


def test_with_the_papers_settings_half_of_the_frames_are_masked():
    mask = RandomSpans()(real([500] * 2000, 500), keys(2000)).mask
    assert 0.48 < float(mask.float().mean()) < 0.50


@pytest.mark.parametrize("length", [1, 5, 10])
def test_spans_are_whole_and_stay_in_the_recording(length):
    counts = [400, 37, 21, 20, 399, max(3, 2 * length), 120, 64] * 50
    everything = real(counts, 400)
    mask = RandomSpans(0.65, length)(everything, keys(len(counts))).mask
    assert not (mask & ~everything).any()
    for row, count in zip(mask, counts, strict=True):
        # Two spans at least, of which one is left out where they cover all there is.
        assert min(runs(row)) >= length
        assert sum(runs(row)) >= (length if count == 2 * length else min(length + 1, 2 * length))
    # The first and the last frame are reached, both.
    assert mask[:, 0].any() and any(mask[row, count - 1] for row, count in enumerate(counts))


def test_in_a_recording_shorter_than_two_spans_something_is_left_to_see():
    counts = list(range(1, 20)) * 200
    mask = RandomSpans(0.65, 10)(real(counts, 19), keys(len(counts))).mask
    masked = mask.sum(1).numpy()
    for count in range(1, 20):
        here = masked[[row for row, each in enumerate(counts) if each == count]]
        assert here.min() >= 1 and here.max() <= count
        assert count == 1 or here.min() < count
    assert all(min(runs(row)) >= max(1, count // 2) for row, count in zip(mask, counts, strict=True))


def test_counts_are_not_made_equal_and_nothing_is_masked_where_nothing_is_real():
    spans = RandomSpans()(real([400, 100, 0], 400), keys(3))
    masked = spans.mask.sum(1).tolist()
    assert masked[0] > 2 * masked[1] > 0 and masked[2] == 0
    assert spans.valid.sum(1).tolist() == masked


@pytest.mark.parametrize("frames", [2, 3, 5, 19, 40, 400])
@pytest.mark.parametrize(("probability", "length"), [(0.65, 10), (1.0, 1), (0.05, 10), (1.0, 10)])
def test_slots_hold_all_masked_frames_in_order(frames, probability, length):
    masking = RandomSpans(probability, length)
    counts = [frames, max(1, frames // 2), max(1, frames // 3)] * 30
    spans = masking(real(counts, frames), keys(len(counts)))
    assert spans.positions.shape == spans.valid.shape == (len(counts), masking.slots(frames))
    for mask, positions, valid in zip(*spans, strict=True):
        assert positions[valid].tolist() == mask.nonzero()[:, 0].tolist()
        assert len(set(positions.tolist())) == len(positions)


def test_a_recording_depends_on_its_key_and_its_length_alone():
    masking, counts = RandomSpans(), [400, 100, 33, 250] * 8
    whole = masking(real(counts, 400), keys(32))
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    shuffled = masking(real(counts, 400)[order], keys(32)[order])
    assert all(torch.equal(ours, theirs[order]) for ours, theirs in zip(shuffled, whole, strict=True))
    padded = masking(real(counts, 450), keys(32))
    assert torch.equal(padded.mask[:, :400], whole.mask) and not padded.mask[:, 400:].any()
    assert not torch.equal(masking(real(counts, 400), keys(32, seed=1)).mask, whole.mask)


def test_nothing_in_it_waits_for_the_device():
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    spans = RandomSpans()(real([50, 20], 50).to("meta"), keys(2).to("meta"))
    assert spans.mask.shape == (2, 50)


def test_what_cannot_work_is_refused():
    for ratio in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="mask_ratio"):
            RandomSpans(ratio)
    with pytest.raises(InputError, match="mask_length"):
        RandomSpans(0.65, 0)


def test_a_number_of_spans_below_1_is_refused():
    with pytest.raises(InputError, match="least is 0; give a number of spans of at least 1"):
        RandomSpans(0.65, 10, 0)
