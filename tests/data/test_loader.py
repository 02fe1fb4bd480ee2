"""The order alone, without a Trainer: what N ranks see, and what a loader that was saved sees."""

from itertools import chain, islice, pairwise

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.loader import OrderedSampler, ShuffledSampler, TrainLoader, train_loader
from ssl_zoo.errors import InputError


class Numbers(Examples):
    labels = None

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitems__(self, positions: list[int]) -> Batch:
        index = torch.tensor(positions)
        return Batch(index.float(), None, None, index)


def loader(seed: int = 0, num_workers: int = 0) -> TrainLoader:
    return train_loader(Numbers(50), 8, seed, num_workers, None)


def seen(loader: TrainLoader, count: int) -> list[list[int]]:
    """The next `count` batches of a loader, over as many passes as that takes."""
    batches: list[list[int]] = []
    while len(batches) < count:
        for batch in loader:
            batches.append(batch.index.tolist())
            if len(batches) == count:
                break
    return batches


def test_every_epoch_is_another_permutation_without_its_incomplete_batch() -> None:
    batches = seen(loader(), 18)
    epochs = [list(chain(*batches[start : start + 6])) for start in (0, 6, 12)]
    for epoch in epochs:
        assert len(set(epoch)) == 48 and set(epoch) <= set(range(50))
    assert all(a != b for a, b in pairwise(epochs))


def test_order_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = seen(loader(seed=5), 8)
    torch.manual_seed(2)
    assert first == seen(loader(seed=5), 8)
    assert first != seen(loader(seed=6), 8)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("consumed", [0, 2, 6, 7])
def test_a_loaded_state_goes_on_where_it_was_saved(num_workers: int, consumed: int) -> None:
    whole = seen(loader(), 14)
    first = loader(num_workers=num_workers)
    assert seen(first, consumed) == whole[:consumed]
    second = loader(num_workers=num_workers)
    second.load_state_dict(first.state_dict())
    assert seen(second, 14 - consumed) == whole[consumed:]


@pytest.mark.parametrize("world_size", [2, 4])
def test_shuffled_batches_of_all_ranks_joined_are_those_of_one_process(world_size: int) -> None:
    share = 8 // world_size
    whole = list(ShuffledSampler(50, 8, 3, 0, 1))
    ranks = [ShuffledSampler(50, 8, 3, rank, world_size) for rank in range(world_size)]
    orders = [list(rank) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(order) for order in orders] == [6 * share] * world_size
    joined = [index for t in range(6) for order in orders for index in order[t * share : (t + 1) * share]]
    assert joined == whole


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("length", [48, 49, 51, 55])
def test_ordered_batches_of_all_ranks_hold_what_one_process_has(length: int, mixed: bool) -> None:
    order = torch.randperm(length) if mixed else None
    whole = list(OrderedSampler(length, 8, 0, 1, order))
    assert whole == (order.tolist() if mixed else list(range(length)))
    ranks = [OrderedSampler(length, 8, rank, 4, order) for rank in range(4)]
    orders = [list(rank) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(order) for order in orders]
    assert len({len(order) for order in orders}) == 1
    for t in range(-(-length // 8)):
        together = [index for order in orders for index in order[2 * t : 2 * t + 2]]
        assert set(together) == set(whole[8 * t : 8 * t + 8])
        assert len(together) - len(set(together)) < 4


class SortedByClass(DataModule):
    """25 classes of 120 documents each, one class after the other, as sources have them."""

    def __init__(self) -> None:
        super().__init__(64, None, 0.2, 0.2, 0)

    def read(self) -> None:
        self.train_set = self.pretrain_set = self.test_set = Numbers(3000)
        self.validation_set = Numbers(3000)
        self.validation_set.labels = torch.arange(3000) // 120


def test_the_first_validation_batches_stand_for_all_and_never_change() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        module = SortedByClass()
        module.read()
        for _ in range(2):
            found.append(torch.cat([batch.index for batch in islice(module.val_dataloader(), 30)]))
    assert all(torch.equal(first, found[0]) for first in found)
    classes = module.validation_set.labels[found[0]].bincount(minlength=25)
    # 1,920 of 3,000: of each class 77, give or take five standard deviations of the hypergeometric distribution.
    assert len(found[0].unique()) == 1920 and (classes - 76.8).abs().max() < 27
    whole = torch.cat([batch.index for batch in module.val_dataloader()])
    assert torch.equal(whole.sort().values, torch.arange(3000))
    assert torch.equal(torch.cat([batch.index for batch in module.test_dataloader()]), whole)
    in_order = torch.cat([batch.index for batch in module.predict_dataloader()])
    assert torch.equal(in_order, torch.arange(3000))  # embeddings and texts stand as the data has them


class FakeTrainer:
    global_rank, world_size, training = 1, 3, False


def test_batch_size_errors_say_what_to_do() -> None:
    with pytest.raises(InputError, match="larger than the training set of 50 examples"):
        train_loader(Numbers(50), 51, 0, 0, None)
    with pytest.raises(InputError, match="multiple of 3"):
        train_loader(Numbers(50), 8, 0, 0, FakeTrainer())
    assert train_loader(Numbers(50), 9, 0, 0, FakeTrainer()).batch_size == 3


class Refused(Numbers):
    def __getitems__(self, positions: list[int]) -> Batch:
        raise InputError("a.png is no image: remove it.")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_worker_process_refuses_is_the_same_sentence(num_workers: int) -> None:
    loader = train_loader(Refused(50), 8, 0, num_workers, None)
    with pytest.raises(InputError) as error:
        next(iter(loader))
    assert str(error.value) == "a.png is no image: remove it."
    if num_workers:  # the error holds itself and the loader, whose end another test would have to wait for
        loader._iterator._shutdown_workers()
