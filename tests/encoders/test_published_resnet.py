"""Residual networks that continue from weights written here, beside the libraries' own networks: none is fetched."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision import models
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification, ResNetModel

from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.export.torchvision_weights import save_for_torchvision

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def random(network: Any) -> Any:
    """A network none of whose parts is still as it was initialised, running statistics included."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.2, 0.4)  # deep ones would explode
    return network.eval()


def normalized(images: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    return (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


@pytest.fixture
def published(tmp_path, monkeypatch) -> Any:
    """Puts a random network where PyTorch keeps what it has fetched before, under the name of a published one."""

    def keep(name: str) -> Any:
        network = random(models.get_model(name))
        address = models.get_model_weights(name).DEFAULT.url
        path = tmp_path / "hub" / "checkpoints" / address.rsplit("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
        network.fc = nn.Identity()
        return network

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("asked the network"))
    return keep


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_networks_by_name_give_their_own_vectors(name, published):
    network, images = published(name), torch.rand(2, 3, 64, 80)
    encoder = ResNet(pretrained=f"torchvision:{name}").eval()
    assert (encoder.stride, encoder.dim) == (32, 512 if name == "resnet18" else 2048)
    with torch.no_grad():
        expected = network(normalized(images, *IMAGENET))
        torch.testing.assert_close(encoder(images).pooled, expected, atol=1e-5, rtol=1e-5)
    assert encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_timms_networks_by_name_give_their_own_vectors(monkeypatch):
    network, images = random(timm.create_model("resnet18", num_classes=0)), torch.rand(2, 3, 64, 64)
    monkeypatch.setattr("timm.create_model", lambda name, **_: {"resnet18": network}[name])
    with torch.no_grad():
        expected = network(normalized(images, *IMAGENET))
        torch.testing.assert_close(
            ResNet(pretrained="timm:resnet18").eval()(images).pooled, expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_networks_of_transformers_give_their_own_vectors(block, head, tmp_path):
    config = ResNetConfig(embedding_size=8, layer_type=block, depths=[2, 2, 2, 2] if block == "basic" else [3, 4, 6, 3],
                          hidden_sizes=[8, 16, 32, 64] if block == "basic" else [32, 64, 128, 256])  # fmt: skip
    network = random(ResNetForImageClassification(config) if head else ResNetModel(config))
    network.save_pretrained(tmp_path)
    ConvNextImageProcessor(image_mean=MEAN, image_std=STD).save_pretrained(tmp_path)
    encoder, images = ResNet(pretrained=str(tmp_path)).eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = (network.resnet if head else network)(normalized(images, MEAN, STD)).pooler_output.flatten(1)
        torch.testing.assert_close(encoder(images).pooled, expected, atol=1e-5, rtol=1e-5)
    assert encoder.conv1.out_channels == 8


def written(folder: Path, change: Any = None, **sizes: Any) -> tuple[ResNet, str]:
    """A file of weights in torchvision's names, with a classifier, of one of our small networks."""
    encoder = random(ResNet(10, 8, mean=MEAN, std=STD, **sizes))
    state = {**encoder.state_dict(), "fc.weight": torch.ones(5, 64), "fc.bias": torch.ones(5)}
    if change is not None:
        change(state)
    torch.save(state, folder / "weights.pth")
    return encoder, str(folder / "weights.pth")


@pytest.mark.parametrize("stem", ["small", "large"])
def test_a_file_says_depth_width_and_stem_itself(stem, tmp_path):
    encoder, path = written(tmp_path, stem=stem)
    found, images = ResNet(pretrained=path, mean=MEAN, std=STD).eval(), torch.rand(2, 3, 40, 40)
    assert found.stride == encoder.stride and found.dim == 64
    torch.testing.assert_close(found(images).pooled, encoder(images).pooled)


def test_the_network_of_a_training_is_found_behind_its_prefix_and_two_are_refused(tmp_path):
    encoder, _ = written(tmp_path)
    inner = {f"module.encoder_q.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"state_dict": inner | {"module.queue": torch.ones(2)}}, tmp_path / "moco.pth")
    found = ResNet(pretrained=str(tmp_path / "moco.pth"), mean=MEAN, std=STD)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in encoder.state_dict().items())
    both = inner | {f"module.encoder_k.{name}": value for name, value in encoder.state_dict().items()}
    torch.save(both, tmp_path / "both.pth")
    with pytest.raises(InputError, match=r"several networks, 'module.encoder_k.' and 'module.encoder_q.'"):
        ResNet(pretrained=str(tmp_path / "both.pth"))


def test_older_files_without_counters_are_read(tmp_path):
    def forget(state: Any) -> None:
        for name in [name for name in state if name.endswith("num_batches_tracked")]:
            del state[name]

    encoder, path = written(tmp_path, forget)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(
        ResNet(pretrained=path, mean=MEAN, std=STD).eval()(images).pooled, encoder(images).pooled
    )


def test_weights_that_do_not_fit_are_named(tmp_path):
    changes: dict[str, Any] = {
        "layer2.0.bn1.weight": lambda state: state.pop("layer2.0.bn1.weight"),
        "layer1.0.se.weight": lambda state: state.update({"layer1.0.se.weight": torch.ones(2)}),
        "layer3.0.conv2.weight of 2x2, but": lambda state: state.update({"layer3.0.conv2.weight": torch.ones(2, 2)}),
        "stages of 1, 2, 1, 1 blocks": lambda state: state.update({"layer2.1.conv1.weight": torch.ones(2)}),
    }
    for name, change in changes.items():
        _, path = written(tmp_path, change)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            ResNet(pretrained=path, mean=MEAN, std=STD)


def test_what_contradicts_the_weights_is_refused(tmp_path):
    _, path = written(tmp_path, stem="large")
    settings = {"mean": MEAN, "std": STD, "pretrained": path}
    for name, wrong in {"depth": 18, "width": 16, "stem": "small"}.items():
        with pytest.raises(InputError, match=f"{name} is {wrong}.*leave {name} out"):
            ResNet(**settings, **{name: wrong})
    with pytest.raises(InputError, match="is a ResNet and this encoder is a ViT"):
        ViT(pretrained=path)


def test_grey_images_and_other_channels_sum_to_what_three_gave(tmp_path):
    _, path = written(tmp_path)
    same = {"mean": 0.4, "std": 0.2, "pretrained": path}
    colour, images = ResNet(**same).eval(), torch.rand(2, 1, 32, 32)
    expected = colour(images.expand(-1, 3, -1, -1)).pooled
    for channels in (1, 6, 9):
        found = ResNet(channels=channels, **same).eval()
        torch.testing.assert_close(found(images.expand(-1, channels, -1, -1)).pooled, expected, atol=1e-5, rtol=1e-5)


def test_a_variant_with_the_same_names_is_refused(published, monkeypatch):
    with pytest.raises(InputError, match=r"resnext50_32x4d has layer1.0.conv1.weight of 128x64x1x1, but a ResNet"):
        published("resnext50_32x4d")
        ResNet(pretrained="torchvision:resnext50_32x4d")
    network = random(timm.create_model("resnet18", num_classes=0, act_layer=nn.SiLU))
    monkeypatch.setattr("timm.create_model", lambda name, **_: network)
    with pytest.raises(InputError, match="computes something else"):
        ResNet(pretrained="timm:resnet18")


def test_what_export_writes_says_its_own_statistics(tmp_path, recwarn):
    encoder = random(ResNet(10, 8, stem="large", mean=[0.1, 0.2, 0.3], std=0.4))
    save_for_torchvision(encoder, tmp_path)
    images = torch.rand(2, 3, 40, 40)
    for source in (tmp_path, tmp_path / "model.safetensors"):
        found = ResNet(pretrained=str(source)).eval()
        torch.testing.assert_close(found(images).pooled, encoder(images).pooled)
    assert not recwarn.list
