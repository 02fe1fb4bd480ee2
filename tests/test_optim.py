import math

import lightning as L
import pytest
import torch
from lightly.utils.lars import LARS as LightlyLARS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssl_zoo.errors import InputError
from ssl_zoo.optim import LARS, make_optimizer, parameter_groups, total_steps, warmup_cosine


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def test_norms_and_biases_have_no_weight_decay():
    module = network()
    decayed, free = parameter_groups(module, 0.1)
    assert {id(p) for p in decayed["params"]} == {id(module[0].weight), id(module[2].weight)}
    assert {id(p) for p in free["params"]} == {
        id(p) for p in (module[0].bias, module[1].weight, module[1].bias, module[2].bias)
    }
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def test_frozen_parameters_are_not_optimized():
    module = network()
    module[0].weight.requires_grad_(False)
    assert all(p is not module[0].weight for group in parameter_groups(module, 0.1) for p in group["params"])


def test_lars_takes_lightlys_steps():
    ours, theirs = network(), network()
    adapted = [p for p in theirs.parameters() if p.ndim > 1]
    plain = [p for p in theirs.parameters() if p.ndim <= 1]
    expected = LightlyLARS(
        [{"params": adapted, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=0.5,
        momentum=0.9,
        trust_coefficient=0.001,
    )
    optimizer = LARS(parameter_groups(ours, 0.01), lr=0.5)
    inputs = torch.randn(16, 4)
    for _ in range(5):
        for module, optim in ((ours, optimizer), (theirs, expected)):
            optim.zero_grad()
            module(inputs).square().mean().backward()
            optim.step()
    # Lightly adds a small number to the denominator and exempts exactly the groups without weight decay, as here.
    for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-6)


class Allocated(TorchDispatchMode):
    """Lists the sizes of tensors that operations make anew."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        fresh = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.sizes += [x.numel() for x in fresh if x.untyped_storage().data_ptr() not in given]
        return result


def test_lars_makes_no_tensor_as_large_as_a_weight_and_leaves_gradients_alone():
    module = nn.Sequential(nn.Linear(40, 50), nn.BatchNorm1d(50), nn.Linear(50, 60))
    optimizer = LARS(parameter_groups(module, 0.01), lr=0.5)
    for _ in range(2):  # the first step makes the buffers
        optimizer.zero_grad()
        module(torch.randn(16, 40)).square().mean().backward()
        before = [p.grad.clone() for p in module.parameters()]
        with Allocated() as allocated:
            optimizer.step()
    assert allocated.sizes and max(allocated.sizes) <= len(before)
    assert all(torch.equal(p.grad, grad) for p, grad in zip(module.parameters(), before, strict=True))


def test_lars_leaves_a_zero_weight_to_plain_sgd():
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([weight], lr=0.1)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_every_optimizer_minimises(name):
    module, inputs = network(), torch.randn(16, 4)
    optimizer = make_optimizer(name, module, 0.3 if name == "lars" else 0.01, 1e-4)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append((module(inputs) - 1).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_warmup_rises_and_cosine_falls_as_fractions_of_the_run():
    def rates(steps: int) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        schedule = warmup_cosine(optimizer, steps, warmup=0.1)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    short, long = rates(100), rates(1000)
    assert short[0] > 0 and max(short) == pytest.approx(2.0) and short.index(max(short)) == 10
    assert short[55] == pytest.approx(1.0 + math.cos(math.pi * 0.5), abs=1e-6)
    assert short[-1] < 0.01
    assert long[550] == pytest.approx(short[55], abs=1e-6)


def test_steady_parts_keep_their_rate_in_groups_of_their_own():
    module = network()
    optimizer = make_optimizer("sgd", module, 2.0, 0.1, steady=[module[2]])
    schedule = warmup_cosine(optimizer, 20, warmup=0.2)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(20):
        for steady in rates:
            found = {group["lr"] for group in optimizer.param_groups if group["steady"] == steady}
            rates[steady].append(*found)
        optimizer.step()
        schedule.step()
    assert rates[True] == [2.0] * 20
    assert rates[False][0] < 1 and max(rates[False]) == 2.0 and rates[False][-1] < 0.1
    kept = {p: group["weight_decay"] for group in optimizer.param_groups if group["steady"] for p in group["params"]}
    assert kept == {module[2].weight: 0.1, module[2].bias: 0.0}
    everything = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, everything)) == sorted(map(id, module.parameters()))


def test_a_run_without_an_end_is_refused():
    with pytest.raises(InputError, match=r"trainer\.max_steps"):
        total_steps(L.Trainer(max_epochs=-1, logger=False, accelerator="cpu", enable_checkpointing=False))
