"""Semi-hard triplets against plain loops, and two gloo processes against one."""

import math

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.objectives.triplet import semi_hard_triplets
from tests.two_processes import in_group

EXAMPLES = 8


def chosen(vectors: list[list[float]], pairs: int) -> list[tuple[float, float]]:
    """Squared distances to the positive and to the negative of every view, one after the other."""
    found = []
    for a, anchor in enumerate(vectors):
        p = (a + pairs) % (2 * pairs)
        positive = math.dist(anchor, vectors[p]) ** 2
        others = [math.dist(anchor, other) ** 2 for n, other in enumerate(vectors) if n not in (a, p)]
        semi_hard = [each for each in others if each > positive]
        found.append((positive, min(semi_hard) if semi_hard else max(others)))
    return found


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_triplets_are_those_of_plain_loops(spread):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(7, 3, generator=generator)
    second = first + spread * torch.randn(7, 3, generator=generator)
    unit = F.normalize(torch.cat([first, second]).double(), dim=1).tolist()
    expected = chosen(unit, 7)
    positive, negative, nearest = semi_hard_triplets(first, second)
    torch.testing.assert_close(positive, torch.tensor([each[0] for each in expected]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(negative, torch.tensor([each[1] for each in expected]), atol=1e-5, rtol=1e-5)
    assert nearest.tolist() == pytest.approx(
        [min(math.dist(a, b) ** 2 for n, b in enumerate(unit) if n % 7 != m % 7) for m, a in enumerate(unit)], abs=1e-5
    )


def test_where_all_negatives_are_nearer_than_the_positive_the_farthest_is_taken():
    def at(degrees: float) -> list[float]:
        return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]

    first, second = torch.tensor([at(0), at(40)]), torch.tensor([at(120), at(10)])
    _, negative, nearest = semi_hard_triplets(first, second)
    assert float(negative[0]) == pytest.approx(2 - 2 * math.cos(math.radians(40)), abs=1e-6)  # 10 and 40 are there
    assert float(nearest[0]) == pytest.approx(2 - 2 * math.cos(math.radians(10)), abs=1e-6)
    assert float(negative[1]) == pytest.approx(2 - 2 * math.cos(math.radians(40)), abs=1e-6)  # 40 and 80, behind 30


def test_gradient_flows_into_anchor_positive_and_negative_and_not_through_the_choice():
    generator = torch.Generator().manual_seed(0)
    leaves = torch.randn(2, 5, 3, generator=generator).requires_grad_()
    positive, negative, _ = semi_hard_triplets(*leaves)
    ours = torch.autograd.grad((positive - negative).mean(), leaves)[0]
    unit = F.normalize(leaves.flatten(0, 1), dim=1)
    distances = [[(a - b).square().sum() for b in unit] for a in unit]
    total = 0.0
    for a, row in enumerate(distances):
        p = (a + 5) % 10
        others = [each for n, each in enumerate(row) if n not in (a, p)]
        semi_hard = [each for each in others if float(each.detach()) > float(row[p].detach())]
        total = total + row[p] - (min(semi_hard, key=Tensor.item) if semi_hard else max(others, key=Tensor.item))
    torch.testing.assert_close(ours, torch.autograd.grad(total / 10, leaves)[0], atol=1e-6, rtol=1e-4)


def step(share: slice, wrap: bool) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of a share of the batch."""
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))
    model = nn.parallel.DistributedDataParallel(model) if wrap else model
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, EXAMPLES, 6, generator=generator)[:, share]
    positive, negative, _ = semi_hard_triplets(*model(views.flatten(0, 1)).chunk(2))
    loss = F.relu(positive - negative + 0.2).mean()
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in model.parameters()]


def share_of_rank() -> tuple[Tensor, list[Tensor]]:
    half = EXAMPLES // 2
    return step(slice(dist.get_rank() * half, (dist.get_rank() + 1) * half), wrap=True)


def test_two_processes_mine_the_global_batch_as_one_does(two_processes):
    loss, gradients = step(slice(None), wrap=False)
    (first, ours), (second, theirs) = two_processes(in_group, share_of_rank)
    torch.testing.assert_close((first + second) / 2, loss, atol=1e-6, rtol=1e-5)
    for one, other, expected in zip(ours, theirs, gradients, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, expected, atol=1e-6, rtol=1e-4)
