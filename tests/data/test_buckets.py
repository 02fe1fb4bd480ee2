"""Which recordings share a batch, without any sound."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch
from scipy import stats

from ssl_zoo.data.buckets import BucketSampler, buckets_by_length, class_weights, draw_pass, one_bucket, padding_share
from ssl_zoo.errors import InputError


def skewed(count: int = 2003) -> np.ndarray:
    """Lengths as prompts and sentences have them: most short, some 15 times as long."""
    lengths = np.random.default_rng(0).lognormal(np.log(3000), 0.9, count)
    return lengths.clip(500, 15000).astype(np.int64)


MOST = 90_000


@pytest.fixture(scope="module")
def lengths() -> np.ndarray:
    return skewed()


@pytest.fixture(scope="module")
def batches(lengths: np.ndarray) -> list[np.ndarray]:
    return draw_pass(buckets_by_length(lengths, np.ones(len(lengths)), MOST), 0, 0)


def test_every_recording_comes_once_in_a_pass_but_for_a_few(lengths: np.ndarray, batches: list[np.ndarray]) -> None:
    seen = list(chain(*batches))
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(len(lengths)))
    assert 0 <= len(lengths) - len(seen) < 8


def test_those_left_out_are_short_and_others_in_every_pass(lengths: np.ndarray) -> None:
    buckets = buckets_by_length(lengths, np.ones(len(lengths)), MOST)
    missing = [set(range(len(lengths))) - set(chain(*draw_pass(buckets, 0, number))) for number in range(3)]
    assert all(missing) and not missing[0] & missing[1] & missing[2]
    assert all(lengths[list(some)].max() < np.median(lengths) for some in missing)


def test_no_batch_exceeds_its_length_and_few_are_small(lengths: np.ndarray, batches: list[np.ndarray]) -> None:
    padded = np.array([len(batch) * lengths[batch].max() for batch in batches])
    assert padded.max() <= MOST
    assert padded.mean() > 0.7 * MOST


def test_padding_is_small_where_random_batches_have_much(lengths: np.ndarray, batches: list[np.ndarray]) -> None:
    brute = sum(int((lengths[batch].max() - lengths[batch]).sum()) for batch in batches)
    brute /= sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padding_share(batches, lengths) == pytest.approx(brute)
    random = draw_pass(one_bucket(np.ones(len(lengths)), 24), 0, 0)
    assert padding_share(batches, lengths) < 0.07 < 0.5 < padding_share(random, lengths)


def test_members_and_order_are_drawn_anew_every_pass_from_the_seed(lengths: np.ndarray) -> None:
    buckets = buckets_by_length(lengths, np.ones(len(lengths)), MOST)
    passes = [draw_pass(buckets, seed, number) for seed, number in ((0, 0), (0, 1), (1, 0), (0, 0))]
    first, second, other, again = ([frozenset(batch.tolist()) for batch in batches] for batches in passes)
    assert first == again and len(first) == len(second)
    assert not set(first) & set(second) and not set(first) & set(other)
    sizes = [np.array([lengths[list(batch)].max() for batch in batches]) for batches in (first, second)]
    assert abs(stats.spearmanr(*sizes).statistic) < 0.3  # long ones come at other times


@pytest.mark.parametrize(("longest", "even"), [(11_000, 8), (12_000, 4), (40_000, 2), (60_000, 1)])
def test_batches_are_multiples_of_8_or_of_what_the_longest_recording_allows(longest: int, even: int) -> None:
    lengths = np.append(skewed().clip(max=9000), longest)
    sizes = {len(batch) for batch in draw_pass(buckets_by_length(lengths, np.ones(len(lengths)), MOST), 0, 0)}
    assert all(size % even == 0 for size in sizes)
    assert any(size % (2 * even) for size in sizes) or even == 8


@pytest.mark.parametrize("count", [1, 3, 8, 9, 20, 31])
def test_little_data_makes_batches_too(count: int) -> None:
    lengths = skewed(count)
    seen = list(chain(*draw_pass(buckets_by_length(lengths, np.ones(count), MOST), 0, 0)))
    assert len(set(seen)) == len(seen) > count - 8 and len(seen) >= 1


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_batches_of_all_ranks_joined_are_those_of_one_process(world_size: int) -> None:
    lengths = skewed().clip(max=11_000)
    buckets = buckets_by_length(lengths, np.ones(len(lengths)), MOST)
    whole = list(BucketSampler(buckets, 3, 0, 1))
    ranks = [list(BucketSampler(buckets, 3, rank, world_size)) for rank in range(world_size)]
    assert len({len(order) for order in ranks}) == 1 == len({len(whole), len(ranks[0])})
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert list(chain(*(share.positions for share in shares))) == batch.positions
        assert len({len(share.positions) for share in shares}) == 1
        assert {share.batch for share in shares} == {batch.batch}
        assert [share.first for share in shares] == [n * len(shares[0].positions) for n in range(world_size)]


def test_processes_that_cannot_share_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 processes.*seconds_per_batch"):
        BucketSampler(buckets_by_length(skewed(), np.ones(2003), MOST), 0, 0, 3)


@pytest.mark.parametrize("consumed", [0, 1, 50, 200])
def test_a_stream_is_taken_up_anywhere(lengths: np.ndarray, consumed: int) -> None:
    buckets = buckets_by_length(lengths, np.ones(len(lengths)), MOST)
    sampler = BucketSampler(buckets, 3, 0, 1)
    whole = []
    for number in range(4):
        sampler.first_batch = number * len(sampler)
        whole += list(sampler)
    sampler.first_batch = consumed
    assert list(sampler) == whole[consumed : consumed + len(sampler)]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bucketed", [False, True])
def test_classes_are_drawn_in_proportion_to_a_power_of_their_size(alpha: float, bucketed: bool) -> None:
    lengths, counts = skewed(), np.array([1500, 403, 100])
    labels = np.repeat(np.arange(3), counts)
    # Long recordings of the rare class: balancing must not take its share from the batches of one length.
    lengths = np.where(labels == 2, lengths.clip(min=6000), lengths)
    weights = class_weights(torch.from_numpy(labels), alpha)
    buckets = buckets_by_length(lengths, weights, MOST) if bucketed else one_bucket(weights, 16)
    drawn = Counter[int]()
    for number in range(20):
        batches = draw_pass(buckets, 0, number)
        drawn.update(labels[np.concatenate(batches)].tolist())
        assert max(len(batch) * lengths[batch].max() for batch in batches) <= MOST or not bucketed
    shares = np.array([drawn[label] for label in range(3)]) / drawn.total()
    expected = [count**alpha / sum(other**alpha for other in counts.tolist()) for count in counts.tolist()]
    assert np.abs(shares - expected).max() < 0.01


def test_a_recording_is_drawn_as_often_as_its_weight_says_rounded_at_random() -> None:
    weights = np.array([0.25] * 80 + [2.5] * 32)
    buckets = one_bucket(weights, 10)
    passes = [np.bincount(np.concatenate(draw_pass(buckets, 0, number)), minlength=112) for number in range(400)]
    counts = np.array(passes)
    assert set(np.unique(counts[:, :80])) == {0, 1} and {2, 3} <= set(np.unique(counts[:, 80:])) <= {2, 3}
    expected = weights * buckets[0].draws / weights.sum()
    assert np.abs(counts.mean(0) - expected).max() < 5 * np.sqrt(0.25 / 400)
    # Neighbours are not drawn together or apart: with a common rhythm their counts would be dependent.
    assert np.abs(np.corrcoef(counts[:, :80].T) - np.eye(80)).max() < 0.25


def test_alpha_1_is_the_data_as_it_is() -> None:
    labels = torch.tensor([0] * 37 + [1] * 3)
    assert np.allclose(class_weights(labels, 1.0), 1.0)
