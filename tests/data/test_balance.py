"""Shares of groups in the batches: exact in every epoch, on any number of ranks and after a resume."""

from collections import Counter
from functools import partial
from itertools import chain, islice

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.balance import Balance, BalancedSampler, shares_of
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.loader import TrainLoader, train_loader

SIZES = [160, 40, 10]
MIXED = torch.randperm(210, generator=torch.Generator().manual_seed(0))
GROUPS = torch.arange(3).repeat_interleave(torch.tensor(SIZES))[MIXED]


def sampler(
    exponent: float, rank: int = 0, world_size: int = 1, seed: int = 3, batch_size: int = 30
) -> BalancedSampler:
    return BalancedSampler(Balance(GROUPS, exponent), 210, batch_size, seed, rank, world_size)


def epochs(sampler: BalancedSampler, count: int) -> list[list[int]]:
    found = []
    for epoch in range(count):
        sampler.first_batch = epoch * sampler.batches_per_epoch
        found.append(list(sampler))
    return found


def test_shares_are_proportional_to_the_power_of_the_sizes_and_add_up():
    assert shares_of(SIZES, 1) == SIZES
    assert shares_of(SIZES, 0) == [70, 70, 70]
    # Square roots of 16, 4 and 1 times 10: 4, 2 and 1 of 7.
    assert shares_of(SIZES, 0.5) == [120, 60, 30]
    assert sum(shares_of([1001, 77, 13, 1], 0.7)) == 1092


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_every_epoch_has_of_each_group_its_share(exponent):
    for drawn in epochs(sampler(exponent), 3):
        assert len(drawn) == 210
        assert [Counter(GROUPS[drawn].tolist())[group] for group in range(3)] == shares_of(SIZES, exponent)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_none_comes_again_before_all_others_of_its_group_have_come(count):
    drawn = torch.tensor(list(chain(*epochs(sampler(0.5), count))))
    for group in range(3):
        times = torch.bincount(drawn, minlength=210)[GROUPS == group]
        assert times.max() - times.min() <= 1


def test_two_ranks_joined_are_one_process():
    (whole,), share = epochs(sampler(0.5), 1), 15
    ranks = [epochs(sampler(0.5, rank, 2), 1)[0] for rank in range(2)]
    joined = [index for t in range(7) for rank in ranks for index in rank[t * share : (t + 1) * share]]
    assert joined == whole


def test_a_resumed_stream_goes_on_where_it_was():
    whole = list(chain(*epochs(sampler(0.5), 2)))
    resumed = sampler(0.5)
    resumed.first_batch = 5  # of 7 in an epoch
    assert list(islice(resumed, 210)) == whole[150:360]


def test_orders_differ_by_epoch_and_seed():
    first, second = epochs(sampler(0.5), 2)
    assert first != second and first != epochs(sampler(0.5, seed=4), 1)[0]


class Numbers(Examples):
    labels = None

    def __len__(self) -> int:
        return 210

    def __getitems__(self, positions: list[int]) -> Batch:
        index = torch.tensor(positions)
        return Batch(index.float(), None, None, index)


def test_a_saved_loader_goes_on_where_it_was_whatever_its_workers():
    def loader(num_workers: int = 0) -> TrainLoader:
        make_sampler = partial(BalancedSampler, Balance(GROUPS, 0.5))
        return train_loader(Numbers(), 30, 3, num_workers, None, make_sampler)

    first = loader()
    whole = [batch.index.tolist() for batch in chain(first, first)]  # two passes
    assert len(whole) == 14
    saved = loader()
    assert [batch.index.tolist() for batch in islice(saved, 5)] == whole[:5]
    for num_workers in (0, 2):
        resumed = loader(num_workers)
        resumed.load_state_dict(saved.state_dict())
        assert [batch.index.tolist() for batch in resumed] == whole[5:12]
