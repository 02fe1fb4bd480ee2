"""Layers of published networks, against what the networks themselves make of them."""

import pytest
import torch
from torch import nn
from torchvision import models

from ssl_zoo.batch import Batch
from ssl_zoo.evaluation.public_encoders import PublicImageEncoder, public_representation


def extracted(network: nn.Module, size: int) -> tuple[PublicImageEncoder, Batch]:
    torch.manual_seed(0)
    encoder = PublicImageEncoder(network.eval(), [0.5] * 3, [0.2] * 3, size).eval()
    return encoder, Batch(torch.rand(2, 3, size, size), None, None, torch.arange(2))


@torch.no_grad()
def test_the_layers_of_a_resnet_are_its_stages():
    network = models.resnet18()
    network.fc = nn.Identity()
    encoder, batch = extracted(network, 64)
    found = public_representation(encoder).extract(batch, True)
    assert [layer.shape[1] for layer in found.layers] == [64, 64, 128, 256, 512]
    torch.testing.assert_close(found.layers[-1], found.pooled)  # which is the mean over the last stage
    images = (batch.inputs - 0.5) / 0.2
    entering = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    torch.testing.assert_close(found.layers[0], entering.mean((2, 3)))
    assert public_representation(encoder).extract(batch, False).layers == ()
    assert not network.layer1._forward_hooks and not network.layer1._forward_pre_hooks


@torch.no_grad()
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_the_layers_of_a_vit_are_its_blocks_without_the_class_token(library):
    torch.manual_seed(0)
    if library == "timm":
        timm = pytest.importorskip("timm")  # an extra
        network = timm.models.VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2,
                                                num_classes=0)  # fmt: skip
        norm = network.norm
    else:
        network = models.VisionTransformer(32, 8, 2, 2, 16, 32)
        network.heads = nn.Identity()
        norm = network.encoder.ln
    encoder, batch = extracted(network, 32)
    whole = []
    block = encoder.layers[-1].register_forward_hook(lambda module, inputs, output: whole.append(output))
    found = public_representation(encoder).extract(batch, True)
    block.remove()
    assert [layer.shape for layer in found.sequences] == [(2, 16, 16)] * 3
    torch.testing.assert_close(found.sequences[-1], whole[0][:, 1:])
    torch.testing.assert_close(norm(whole[0])[:, 0], found.pooled)


def test_a_network_that_keeps_its_layers_elsewhere_has_none():
    encoder, batch = extracted(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), 4)
    assert public_representation(encoder).extract(batch, True).layers == ()
