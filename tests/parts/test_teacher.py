import math
from copy import deepcopy

import pytest
import torch
from lightly.models.utils import update_momentum
from torch import nn

from ssl_zoo.errors import InputError
from ssl_zoo.parts.teacher import MomentumCopy, cosine_momentum, in_groups


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))


def moved(original: nn.Module) -> nn.Module:
    """The original after some training: other weights, other statistics."""
    other = deepcopy(original)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter))
    other(torch.randn(16, 4) * 3 + 1)
    return other


def test_every_weight_is_the_moving_average_in_plain_loops():
    torch.manual_seed(0)
    original = network()
    copy, expected = MomentumCopy(original), [p.detach().clone() for p in original.parameters()]
    statistics = copy.module[1].running_mean.clone()
    for _ in range(3):
        original = moved(original)
        copy.follow(original, 0.9)
        expected = [0.9 * old + 0.1 * new.detach() for old, new in zip(expected, original.parameters(), strict=True)]
    for mine, value in zip(copy.module.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, value)
    assert torch.equal(copy.module[1].running_mean, statistics)  # batch norm keeps its own


def test_weights_follow_as_lightlys_do():
    torch.manual_seed(0)
    original = network()
    ours, theirs, trained = MomentumCopy(original), deepcopy(original), moved(original)
    ours.follow(trained, 0.99)
    update_momentum(trained, theirs, 0.99)
    for mine, other in zip(ours.module.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_it_starts_equal_is_never_trained_and_leaves_the_original_alone():
    torch.manual_seed(0)
    original = network().eval()
    copy = MomentumCopy(original)
    inputs = torch.randn(5, 4)
    assert torch.equal(copy(inputs), original(inputs))
    before = deepcopy(original.state_dict())
    assert not copy(inputs.requires_grad_()).requires_grad
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert all(parameter.requires_grad for parameter in original.parameters())
    copy.follow(moved(original), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())


def test_groups_are_normalised_each_by_itself_and_come_back_in_order():
    torch.manual_seed(0)
    norm, examples = nn.BatchNorm1d(4), torch.randn(12, 4)
    made = in_groups(norm, examples, 3)
    for i in range(12):
        group = examples[i % 3 :: 3]
        expected = (examples[i] - group.mean(0)) / (group.var(0, unbiased=False) + norm.eps).sqrt()
        torch.testing.assert_close(made[i], expected, atol=1e-5, rtol=1e-5)


def test_unequal_groups_are_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"batch of 10 .* 3 equal groups"):
        in_groups(nn.Identity(), torch.zeros(10, 2), 3)


def test_the_momentum_rises_to_one_along_half_a_cosine():
    assert cosine_momentum(0.99, 0.0) == pytest.approx(0.99)
    assert cosine_momentum(0.99, 0.5) == pytest.approx(0.995)
    assert cosine_momentum(0.99, 1.0) == 1.0
    rising = [cosine_momentum(0.9, step / 50) for step in range(51)]
    assert rising == sorted(rising)
    assert rising[10] == pytest.approx(1 - 0.1 * (math.cos(math.pi * 0.2) + 1) / 2)
