"""A residual network on patches: how they are cut, and that none sees another."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

import ssl_zoo.encoders.patch_resnet
from ssl_zoo.encoders.patch_resnet import PatchResNet
from ssl_zoo.encoders.residual import layer_norm
from ssl_zoo.errors import InputError


def make(**settings) -> PatchResNet:
    torch.manual_seed(0)
    return PatchResNet(**{"patch_size": 6, "depth": 10, "width": 8, "channels": 2, "mean": 0.4, "std": 0.3, **settings})


def test_patches_are_what_slices_of_the_image_are_and_what_is_left_over_is_so_on_both_sides():
    images, encoder = torch.rand(2, 2, 17, 20), make()
    assert encoder.patch_grid(images) == (4, 5) and (encoder.stride, encoder.offset) == (3, 3)
    patches = encoder.cut(images)
    assert patches.shape == (2, 20, 2, 6, 6)
    for number in range(20):
        row, column = 1 + number // 5 * 3, 1 + number % 5 * 3  # 15 of 17 rows and 18 of 20 columns are reached
        assert torch.equal(patches[:, number], images[:, :, row : row + 6, column : column + 6])
    assert make(overlap=0.0).patch_grid(images) == (2, 3) and make(overlap=0.9).stride == 1
    of_the_paper = torch.empty(1, 2, 256, 256)
    assert make(patch_size=64).patch_grid(of_the_paper) == (7, 7)


@torch.no_grad()
def test_its_vectors_are_those_of_torchvisions_network_on_every_patch():
    encoder, images = make().eval(), torch.rand(2, 2, 12, 12)
    network = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=layer_norm)
    network.conv1, network.maxpool, network.fc = nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.Identity(), nn.Identity()
    network.bn1, network.inplanes = layer_norm(8), 8
    for number, planes in enumerate((8, 16, 32, 64)):
        stage = network._make_layer(BasicBlock, planes, 1, stride=1 if number == 0 else 2)
        setattr(network, f"layer{number + 1}", stage)
    network.load_state_dict(encoder.state_dict())
    found = encoder(images, layers=True)
    for number, patch in enumerate(encoder.cut(images).unbind(1)):
        alone = network((patch - 0.4) / 0.3)
        torch.testing.assert_close(found.sequence[:, number], alone, atol=1e-5, rtol=1e-4)
        first = encoder.bn1(encoder.conv1((patch - 0.4) / 0.3)).relu().mean((2, 3))
        torch.testing.assert_close(found.layers[0][:, number], first, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.layers[-1], found.sequence) and torch.equal(found.pooled, found.sequence.mean(1))


def test_a_layer_norm_is_that_of_all_numbers_of_an_example():
    maps = torch.randn(3, 8, 5, 4)
    ours = layer_norm(8)
    nn.init.uniform_(ours.weight)
    nn.init.uniform_(ours.bias)
    plain = nn.functional.layer_norm(maps, maps.shape[1:]) * ours.weight[:, None, None] + ours.bias[:, None, None]
    torch.testing.assert_close(ours(maps), plain, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_in_training_no_patch_sees_another_as_with_batch_norm_they_do(monkeypatch):
    images = torch.rand(3, 2, 12, 12)
    changed = images.clone()
    changed[:, :, 6:] = torch.rand(3, 2, 6, 12)  # the rows of patches but the first
    seen = []
    for norm in (layer_norm, nn.BatchNorm2d):
        monkeypatch.setattr(ssl_zoo.encoders.patch_resnet, "layer_norm", norm)
        encoder = make(overlap=0.0).train()
        before, after = (encoder(each).sequence[:, :2] for each in (images, changed))
        seen.append(not torch.allclose(before, after, atol=1e-5))
    assert seen == [False, True]


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="6 pixels a side, and these images 5 x 9: set its patch_size to 5"):
        make()(torch.rand(1, 2, 5, 9))
    with pytest.raises(InputError, match="PatchResNet's width is 0; give"):
        make(width=0)
    with pytest.raises(InputError, match="patch_size is 0; give"):
        make(patch_size=0)
    for overlap in (1.0, -0.1):
        with pytest.raises(InputError, match=f"overlap is {overlap:g}; give"):
            make(overlap=overlap)
