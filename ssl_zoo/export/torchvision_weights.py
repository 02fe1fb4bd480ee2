"""A ResNet's weights under torchvision's names, and how torchvision alone rebuilds the network."""

import json
from pathlib import Path

from ssl_zoo.encoders.image import ResNet
from ssl_zoo.export.loading import Loading, statistics

WIDTH = 64  # of torchvision's own


def save_for_torchvision(encoder: ResNet, folder: Path) -> Loading:
    """Writes `model.safetensors`, a state dict of torchvision's ResNet without its last layer, `fc`.

    Args:
        encoder: an encoder on the CPU.
        folder: exists.
    """
    from safetensors.torch import save_file

    # The format stores rows one after the other; convolutions here lie in channels_last.
    weights = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    mean, std = statistics(encoder.normalize)
    noted = {"format": "pt", "mean": json.dumps(mean), "std": json.dumps(std)}  # for those who continue from it
    save_file(weights, folder / "model.safetensors", noted)
    stages = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
    blocks, block = [len(stage) for stage in stages], type(encoder.layer1[0]).__name__
    width, channels, small = encoder.conv1.out_channels, encoder.conv1.in_channels, encoder.stride == 8
    lines = [f"model = ResNet({block}, {blocks})"]
    if width != WIDTH or channels != 3 or small:
        shape = "3, stride=1, padding=1" if small else "7, stride=2, padding=3"
        lines.append(f"model.conv1 = nn.Conv2d({channels}, {width}, {shape}, bias=False)")
    if small:
        lines.append("model.maxpool = nn.Identity()")
    if width != WIDTH:
        lines.append(f"model.bn1, model.inplanes = nn.BatchNorm2d({width}), {width}")
        for number, stage in enumerate(stages):
            stride = "" if number == 0 else ", stride=2"
            made = f"model._make_layer({block}, {width * 2**number}, {len(stage)}{stride})"
            lines.append(f"model.layer{number + 1} = {made}")
    construction = "\n".join(lines)
    code = f"""
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models.resnet import {block}, ResNet
from torchvision.transforms.functional import normalize

folder = "."  # where this card lies
{construction}
model.fc = nn.Identity()
model.load_state_dict(load_file(f"{{folder}}/model.safetensors"))
model.eval()


@torch.no_grad()
def encode(images):
    images = normalize(images, {mean}, {std})
    maps = []
    with model.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output)):
        pooled = model(images)
    return pooled, maps[0].flatten(2).transpose(1, 2)
"""
    stem = "one 3x3 convolution of stride 1 without pooling" if small else "the paper's 7x7 convolution and pooling"
    text = (
        f"`model.safetensors` has torchvision's names, without `fc`. The stem is {stem}, the first stage has {width} "
        f"channels{_standard(width, channels, small)}. `images` are float32 in [0, 1], `(B, {channels}, H, W)`."
    )
    return Loading("torchvision", text, code.strip())


def _standard(width: int, channels: int, small: bool) -> str:
    if width == WIDTH and channels == 3 and not small:
        return ", all of it as in torchvision"
    return "; the lines after the constructor put in what torchvision's constructor has no argument for"
