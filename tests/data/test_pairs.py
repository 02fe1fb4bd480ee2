"""Pairs of examples: which stay together in the parts of a data set, and among some of its examples."""

import torch

from ssl_zoo.data.pairs import Pairs

PAIRS = Pairs(["a", "b"], torch.tensor([0, 1, 0, 1, 0]), torch.tensor([1, 0, 3, 2, 4]))


def test_partners_in_two_parts_are_none() -> None:
    assert PAIRS.paired.tolist() == [True, True, True, True, False]
    found = PAIRS.within([torch.tensor([0, 1, 2]), torch.tensor([3, 4])])
    assert found.partners.tolist() == [1, 0, 2, 3, 4] and found.styles is PAIRS.styles
    # One that is in no part has no partner there, and is nobody's.
    assert PAIRS.within([torch.tensor([0, 2, 3])]).partners.tolist() == [0, 1, 3, 2, 4]


def test_some_examples_are_numbered_anew() -> None:
    found = PAIRS.of(torch.tensor([3, 4, 2, 1]))
    assert found.partners.tolist() == [2, 1, 0, 3]  # the partner of the last is not among them
    assert found.styles.tolist() == [1, 0, 0, 1] and found.paired.tolist() == [True, False, True, False]
