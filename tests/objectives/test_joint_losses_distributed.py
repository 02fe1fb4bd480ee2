"""Losses over all of a batch on two gloo processes, against one on the whole batch, value and gradient."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ssl_zoo.distributed import all_gather
from ssl_zoo.objectives.contrastive import global_logits
from ssl_zoo.objectives.decorrelation import barlow_twins, covariance_penalty, cross_correlation, variance_hinge
from ssl_zoo.objectives.sigreg import random_directions, sigreg
from ssl_zoo.objectives.similarity import distance_to_centre
from ssl_zoo.randomness import example_keys
from tests.two_processes import in_group

EXAMPLES = 8


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))


def barlow_step(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return barlow_twins(cross_correlation(first, second), 0.1)


def vicreg_step(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    first, second = all_gather(first), all_gather(second)
    hinges, penalties = (each(first) + each(second) for each in (variance_hinge, covariance_penalty))
    return (first - second).square().mean() + hinges + penalties


def lejepa_step(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Other code has dropped what the ranks had summed, so that each tested its own part of the batch."""
    views = torch.stack([first, second])
    return distance_to_centre(views, 2) + sigreg(views, random_directions(example_keys(0, 1, torch.tensor([0])), 4, 9))


def cpc_step(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Twice as many queries as there are targets, each with its match among those of its own rank."""
    matches = (torch.arange(len(second)) ^ 1).repeat(2)  # of its neighbour
    return nn.functional.cross_entropy(*global_logits(torch.cat([first, 2 * first]), second, matches))


STEPS = {"Barlow Twins": barlow_step, "VICReg": vicreg_step, "LeJEPA": lejepa_step, "CPC": cpc_step}


def step(name: str, model: nn.Module, share: slice) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Loss and gradients of a share of the batch."""
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(EXAMPLES, 6, generator=generator)[share] for _ in range(2)]
    model.zero_grad()
    loss = STEPS[name](*(model(view) for view in views))
    loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in model.parameters()]


def shares_of_each() -> dict[str, tuple[torch.Tensor, list[torch.Tensor]]]:
    """All of them on this rank's half."""
    model = nn.parallel.DistributedDataParallel(network())
    share = slice(dist.get_rank() * EXAMPLES // 2, (dist.get_rank() + 1) * EXAMPLES // 2)
    return {name: step(name, model, share) for name in STEPS}


@pytest.fixture(scope="module")
def shares(two_processes):
    return two_processes(in_group, shares_of_each)


@pytest.mark.parametrize("name", STEPS)
def test_loss_and_gradient_equal_those_of_one_process(shares, name):
    loss, gradients = step(name, network(), slice(None))
    (loss_0, gradients_0), (loss_1, gradients_1) = (share[name] for share in shares)
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss, atol=1e-6, rtol=1e-6)
    for ours, others, whole in zip(gradients_0, gradients_1, gradients, strict=True):
        torch.testing.assert_close(ours, whole, atol=1e-6, rtol=1e-5)
        assert torch.equal(ours, others)
