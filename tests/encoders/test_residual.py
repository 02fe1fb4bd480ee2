"""Residual stages on maps of a single column, of which oneDNN leaves a part of the gradient in bfloat16 uncomputed."""

import pytest
import torch
from torchvision.models.resnet import BasicBlock, Bottleneck

from ssl_zoo.encoders.residual import Strided, residual_stage


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_weights_that_reach_no_column_have_a_gradient_of_zero_whatever_was_in_memory(rows):
    torch.manual_seed(0)
    layer = Strided(32, 64, 3, 2, 1, bias=False).to(memory_format=torch.channels_last)
    maps = torch.randn(8, 32, rows, 1).to(memory_format=torch.channels_last)
    for _ in range(40):
        # Freed again at once, so that what comes next gets this memory.
        [torch.full((layer.weight.numel(),), torch.nan, dtype=kind) for kind in (torch.float32, torch.bfloat16)]
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            layer(maps).float().square().mean().backward()
        assert layer.weight.grad.isfinite().all()
        assert (layer.weight.grad[..., [0, 2]] == 0).all() and layer.weight.grad[..., 1].any()


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 5), (4, 6)])
def test_it_is_the_convolution_that_it_stands_for(size):
    torch.manual_seed(0)
    ours, maps = Strided(4, 6, 3, 2, 1), torch.randn(2, 4, *size)
    plain = torch.nn.Conv2d(4, 6, 3, 2, 1)
    plain.load_state_dict(ours.state_dict())
    for layer in (ours, plain):
        layer(maps).square().sum().backward()
    torch.testing.assert_close(ours(maps), plain(maps))
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_stage_is_drawn_as_torchvision_draws_it(block):
    torch.manual_seed(0)
    stage, drawn_after = residual_stage(block, 16, 8, 2, stride=2), torch.rand(1)
    torch.manual_seed(0)
    downsample = torch.nn.Sequential(
        torch.nn.Conv2d(16, 8 * block.expansion, 1, 2, bias=False), torch.nn.BatchNorm2d(8 * block.expansion)
    )
    first = block(16, 8, 2, downsample)
    plain = torch.nn.Sequential(first, block(8 * block.expansion, 8))
    assert drawn_after == torch.rand(1)
    assert list(stage.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in stage.state_dict().items())
