import hashlib

import pytest
import torch

from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.splits import PARTS, hold_out, split_hash

LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 19 + [3])


@pytest.mark.parametrize("count", [0, 1, 10, 37, 99, 100])
def test_parts_are_disjoint_exhaustive_and_of_the_size_asked_for(count: int) -> None:
    kept, held = hold_out(LABELS, count)
    assert len(held) == count
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(100))


def test_every_class_is_held_out_in_proportion() -> None:
    _, held = hold_out(LABELS, 20)
    counts = torch.bincount(LABELS[held], minlength=4)
    assert ((counts - torch.tensor([50, 30, 19, 1]) * 0.2).abs() <= 1).all()


def test_the_held_out_examples_of_a_class_are_shuffled() -> None:
    _, held = hold_out(torch.zeros(1000, dtype=torch.int64), 100)
    gaps = held.diff()
    assert gaps.float().std() > 3  # evenly spaced ones would have none, and taking the first ones neither


def test_the_global_seed_does_not_matter() -> None:
    torch.manual_seed(1)
    first = hold_out(LABELS, 20)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, hold_out(LABELS, 20), strict=True))


def test_hash_ignores_order_and_nothing_else() -> None:
    a, b = torch.tensor([3, 1]), torch.tensor([2])
    by_hand = b"Digits/2:" + (1).to_bytes(8, "little") + (3).to_bytes(8, "little") + b"/1:" + (2).to_bytes(8, "little")
    assert split_hash("Digits", a, b) == hashlib.sha256(by_hand).hexdigest()[:16]
    assert split_hash("Digits", a.flip(0), b) == split_hash("Digits", a, b)
    others = [split_hash("Digits", b, a), split_hash("Other", a, b), split_hash("Digits", torch.tensor([3, 1, 2]))]
    assert len({split_hash("Digits", a, b), *others}) == 4


def official(**counts: int) -> torch.Tensor:
    """The numbers of the parts of so many examples each, in the order of the arguments."""
    return torch.cat([torch.full((count,), PARTS.index(part)) for part, count in counts.items()])


def test_official_parts_stay_as_they_are_and_only_what_is_missing_is_held_out() -> None:
    data = ImageData()
    labels = torch.arange(60) % 2
    split = data.split(labels, official(test=10, train=40, validation=8, unlabelled=2), "images")
    assert [part.tolist() for part in split] == [[*range(10, 50)], [*range(50, 58)], [*range(10)], [58, 59]]
    split = data.split(labels, official(train=50, validation=10), "images")
    assert split.validation.tolist() == [*range(50, 60)] and len(split.test) == 10  # a fifth of those for training
    assert sorted(split.train.tolist() + split.test.tolist()) == [*range(50)]
    split = data.split(labels, official(train=50, test=10), "images")
    assert split.test.tolist() == [*range(50, 60)] and len(split.validation) == 5
    assert sorted(split.train.tolist() + split.validation.tolist()) == [*range(50)]


def test_held_out_examples_without_a_label_are_counted() -> None:
    labels = torch.tensor([*([0, 1] * 10), -1, 0, 1, -1, -1])
    with pytest.warns(UserWarning, match="Digits: left out 2 images of its validation and test parts"):
        split = ImageData().split(labels, official(train=21, test=4), "images")
    assert split.test.tolist() == [21, 22] and split.unlabelled.tolist() == [20]
