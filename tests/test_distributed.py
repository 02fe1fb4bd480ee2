"""Two gloo processes against one on the whole batch, where every operation is smooth and the comparison exact."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import CPUSyncBatchNorm
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.byol import BYOL
from ssl_zoo.methods.simsiam import SimSiam
from ssl_zoo.objectives.contrastive import cross_view_logits, nt_xent, queue_logits
from ssl_zoo.parts.queue import KeyQueue
from ssl_zoo.parts.teacher import Teacher, in_groups
from ssl_zoo.views.image import DigitViews
from tests.two_processes import in_group

EXAMPLES = 8


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.Tanh(), nn.Linear(10, 4))


def views() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(EXAMPLES, 6, generator=generator), torch.randn(EXAMPLES, 6, generator=generator)


def step(model: nn.Module, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    loss = nt_xent(*model(torch.cat([first, second])).chunk(2), temperature=0.2)
    loss.backward()
    return loss.detach()


def contrast(model: nn.Module, copy: nn.Module, queue: KeyQueue, share: slice) -> torch.Tensor:
    """MoCo's step and MoCo v3's, on a share of the batch."""
    first, second = (view[share] for view in views())
    index = torch.arange(EXAMPLES)[share]
    keys = in_groups(copy, 2, second)
    excluded = index[:, None] == queue.index
    loss = F.cross_entropy(*queue_logits(model(first), keys, queue.keys, excluded, 0.2))
    loss = loss + F.cross_entropy(*cross_view_logits(model(second), keys, 0.2))
    loss.backward()
    queue.push(F.normalize(keys, dim=1), index)
    return loss.detach()


def queue() -> KeyQueue:
    torch.manual_seed(2)
    return KeyQueue(12, 4)


def share_of_one_step() -> dict[str, tuple[torch.Tensor, list[torch.Tensor], dict[str, torch.Tensor]]]:
    """Loss, gradients and state, of SimCLR and of MoCo."""
    share = slice(dist.get_rank() * EXAMPLES // 2, (dist.get_rank() + 1) * EXAMPLES // 2)
    model = nn.parallel.DistributedDataParallel(CPUSyncBatchNorm().apply(network()))
    first, second = views()
    loss = step(model, first[share], second[share])
    gradients = [p.grad for p in model.parameters()]
    simclr = loss, gradients, model.module.state_dict()

    model, copy = (CPUSyncBatchNorm().apply(network()) for _ in range(2))
    model, keys = nn.parallel.DistributedDataParallel(model), queue()
    loss = contrast(model, Teacher(copy, 0.9), keys, share)
    moco = loss, [p.grad for p in model.parameters()], keys.state_dict()
    return {"SimCLR": simclr, "MoCo": moco, "spread": spread(share)}


def spread(share: slice) -> list[torch.Tensor]:
    """Of the projections of methods that could collapse."""
    images = torch.randint(256, (EXAMPLES, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    batch = Batch(images[share], None, None, torch.arange(EXAMPLES)[share])
    found = []
    for make in (BYOL, SimSiam):
        torch.manual_seed(0)
        method = CPUSyncBatchNorm().apply(make(ResNet(10, 8, channels=1), DigitViews(), projection_dim=16))
        found.append(method.losses(batch)["std"])
    return found


@pytest.fixture(scope="module")
def shares(two_processes):
    return two_processes(in_group, share_of_one_step)


def test_loss_gradients_and_batch_norm_statistics_equal_those_of_one_process(shares):
    model = network()
    loss = step(model, *views())
    (loss_0, gradients_0, state_0), (loss_1, gradients_1, state_1) = (share["SimCLR"] for share in shares)
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss, atol=1e-6, rtol=0)
    for parameter, ours, theirs in zip(model.parameters(), gradients_0, gradients_1, strict=True):
        torch.testing.assert_close(ours, parameter.grad, atol=1e-6, rtol=1e-5)
        assert torch.equal(ours, theirs)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state_0[name], value, atol=1e-6, rtol=1e-5)
        assert torch.equal(state_0[name], state_1[name])


def test_queue_keys_and_gradients_of_moco_equal_those_of_one_process(shares):
    model, keys = network(), queue()
    loss = contrast(model, Teacher(network(), 0.9), keys, slice(None))
    (loss_0, gradients_0, queue_0), (loss_1, gradients_1, queue_1) = (share["MoCo"] for share in shares)
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss, atol=1e-6, rtol=0)
    for parameter, ours, theirs in zip(model.parameters(), gradients_0, gradients_1, strict=True):
        torch.testing.assert_close(ours, parameter.grad, atol=1e-6, rtol=1e-5)
        assert torch.equal(ours, theirs)
    for name, value in keys.state_dict().items():
        torch.testing.assert_close(queue_0[name], value, atol=1e-6, rtol=1e-5)
        assert torch.equal(queue_0[name], queue_1[name])
    assert keys.index.tolist() == [*range(EXAMPLES), *[-1] * 4]


def test_the_spread_of_projections_is_that_of_the_global_batch(shares):
    for share in shares:
        torch.testing.assert_close(share["spread"], spread(slice(None)), atol=1e-5, rtol=1e-4)


def test_the_batch_norm_plugin_can_be_undone():
    model = network()
    plugin = CPUSyncBatchNorm()
    assert type(plugin.apply(model)[1]) is not nn.BatchNorm1d
    assert type(plugin.revert(model)[1]) is nn.BatchNorm1d
