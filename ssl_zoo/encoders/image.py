"""Image encoders: torchvision's ResNets and a plain MLP behind the encoder contract; the ViT has a file of its own."""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.normalize import Measured, Normalize, Number
from ssl_zoo.encoders.published_resnet import BLOCKS, BOTTLENECK, Depth, PublishedResNet, fit_resnet, read_resnet
from ssl_zoo.encoders.published_run import encoder_of_run, find_run
from ssl_zoo.encoders.residual import residual_stage
from ssl_zoo.encoders.vit import ViT
from ssl_zoo.encoders.weights import (
    Pretrained,
    load_exactly,
    normalization,
    refuse_contradictions,
    remember,
    require_same,
    source_of,
)
from ssl_zoo.errors import InputError

__all__ = ["MLP", "ResNet", "ViT"]


class ResNet(Encoder):
    """Residual network (He et al., 2015, arXiv:1512.03385) of torchvision's blocks, of any width, for any image size.

    Parameter names are torchvision's, so that weights go in and out by `load_state_dict`. Convolutions run in
    channels_last memory format, the fastest one on CPUs and GPUs alike. Pooled is the mean over positions.

    Args:
        depth: number of layers: 10, 18, 34, 50, 101 or 152; 18 or the published network's where left out.
        width: channels of the first stage; later stages have 2, 4 and 8 times as many. 64 is the paper's, 16 is what
            a laptop can train; left out, it is 64 or the published network's.
        stem: first layers of the network: `small` is one 3x3 convolution of stride 1, for images up to about 64 pixels
            (the CIFAR stem); `large` is the paper's 7x7 convolution of stride 2 and max pooling. Left out, it is
            `small`, or the published network's: one with the large stem wants images of 64 pixels or more, which
            `data.image_size` makes of smaller ones.
        channels: number of image channels.
        zero_init: start the last norm of every block at zero, so that a block does nothing at first (Goyal et al.,
            2017, arXiv:1706.02677, section 5.1), as the published code of SimCLR, BYOL, SimSiam and MoCo v3 does and
            that of MoCo v1 and v2 does not. Blocks take hundreds of steps to wake: it is for long runs.
        mean: subtracted from images in [0, 1], one number or one per channel, or `data` for the mean of every channel
            of the training images; 0.5 or as published where left out.
        std: divides images once `mean` is subtracted, one number or one per channel, or `data` for the deviation of
            every channel of the training images; 0.25 or as published where left out.
        statistics: mean and std of every channel in place of `mean` and `std`; from the data, where it measures them.
        pretrained: weights to continue from: `torchvision:resnet50`, `timm:resnet18`, `transformers:` and a name on the
            Hugging Face Hub, a folder that `ssl-zoo export` wrote, a .safetensors or .pth file with torchvision's
            names, or a run with this encoder (of an experiment's folder the newest). Depth, width, stem, and the mean
            and std of images are the published ones; the first convolution is summed over its channels for grey images,
            or takes them in turn for other numbers of `channels`.

    Raises:
        InputError: a size is not the published network's, or that cannot be read.
    """

    modality = "image"
    num_layers = 5

    def __init__(
        self,
        depth: Depth | None = None,
        width: int | None = None,
        stem: Literal["small", "large"] | None = None,
        channels: int = 3,
        zero_init: bool = False,
        mean: Number | None = None,
        std: Number | None = None,
        statistics: Measured | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock, Bottleneck

        source = source_of(pretrained) or ""
        if pretrained is None:
            found = PublishedResNet(depth or 18, 64 if width is None else width, stem or "small", {}, [0.5], [0.25])
        else:
            found = _continued(pretrained, channels)
            given = {"depth": (depth, found.depth), "width": (width, found.width), "stem": (stem, found.stem)}
            refuse_contradictions("ResNet", source, given)
        self.normalize = Normalize(
            *normalization("ResNet", mean, std, statistics, (found.mean, found.std), source if found.weights else "")
        )
        self.sizes = depth, width, stem = found.depth, found.width, found.stem
        if width < 1:
            raise InputError(f"ResNet's width is {width}; give a number of at least 1.")
        block: Any = Bottleneck if depth >= BOTTLENECK else BasicBlock
        self.dim = 8 * width * block.expansion
        self.stride, self.channels = 8 if stem == "small" else 32, channels
        if stem == "small":
            self.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
            self.maxpool: nn.Module = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        stages, entering = [], width
        for stage, blocks in enumerate(BLOCKS[depth]):
            stages.append(residual_stage(block, entering, width * 2**stage, blocks, stride=1 if stage == 0 else 2))
            entering = width * 2**stage * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init and isinstance(module, BasicBlock | Bottleneck):
                last: Any = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                nn.init.zeros_(last.weight)
        if found.weights:
            load_exactly(self, found.weights, source, "ResNet")
            remember(self, self, found._replace(weights={})._asdict())
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"depth": 10, "width": 8}

    def parameter_layers(self) -> list[list[str]]:
        """The stem, then every residual block."""
        stages = ("layer1", "layer2", "layer3", "layer4")
        blocks = [[f"{stage}.{number}"] for stage in stages for number in range(len(getattr(self, stage)))]
        return [["conv1", "bn1"], *blocks]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The normalised pixels ``(B, H * W, channels)``, row by row; images are never padded."""
        images = self.normalize(inputs, self.conv1.in_channels).contiguous(memory_format=torch.channels_last)
        return Embedded(_as_sequence(images), None, {"size": images.shape[2:]})

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """The last stage's feature map as a sequence of its positions, row by row, and their mean.

        `layers` holds what the stem and the four stages give, at their own resolutions and widths.
        """
        self.require_all(places)
        images = embedded.vectors.transpose(1, 2).unflatten(2, embedded.hints["size"])
        maps = self.conv1(images.contiguous(memory_format=torch.channels_last))
        maps = self.maxpool(torch.relu_(self.bn1(maps)))
        states = [_as_sequence(maps)] if layers else []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
            if layers:
                states.append(_as_sequence(maps))
        vectors = _as_sequence(maps)
        return Encoded(vectors, vectors.mean(1), None, tuple(states))


def _as_sequence(maps: Tensor) -> Tensor:
    """Maps ``(B, C, H, W)`` as ``(B, H * W, C)``; in channels_last no copy."""
    return maps.flatten(2).transpose(1, 2)


def _continued(pretrained: Pretrained, channels: int) -> PublishedResNet:
    """Published weights for images of so many channels; without weights where they were read before."""
    if isinstance(pretrained, dict):
        return PublishedResNet(**pretrained["architecture"])
    folder = find_run(pretrained)
    if folder is not None:
        encoder = encoder_of_run(ResNet, folder)
        mean, std = (value.flatten().tolist() for value in (encoder.normalize.mean, encoder.normalize.std))
        found = PublishedResNet(*encoder.sizes, encoder.state_dict(), mean, std)
        return fit_resnet(found, channels)
    found, network = read_resnet(pretrained)
    if network is not None:  # names and shapes do not show everything that it computes
        with torch.random.fork_rng(), torch.no_grad():
            kernel = found.weights["conv1.weight"]
            ours = ResNet(found.depth, found.width, found.stem, kernel.shape[1], mean=0.0, std=1.0).eval()
            load_exactly(ours, found.weights, pretrained, "ResNet")
            images = torch.rand(2, kernel.shape[1], 96, 96)
            require_same(pretrained, network(images), ours(images).pooled)
    return fit_resnet(found, channels)


class MLP(Encoder):
    """The flattened image through linear layers with ReLU; the whole image is one position.

    Args:
        hidden: widths of the layers; the representation is what the last one gives.
        channels: number of image channels.
        image_size: height and width in pixels.
        mean: subtracted from images in [0, 1], one number or one per channel, or `data` for the mean of every channel
            of the training images.
        std: divides images once `mean` is subtracted, one number or one per channel, or `data` for the deviation of
            every channel of the training images.
        statistics: mean and std of every channel in place of `mean` and `std`; from the data, where it measures them.
    """

    modality = "image"

    def __init__(
        self,
        hidden: list[int] = [512],  # noqa: B006  # never changed, and --help shows it
        channels: int = 1,
        image_size: int = 28,
        mean: Number = 0.5,
        std: Number = 0.25,
        statistics: Measured | None = None,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise InputError(f"MLP: hidden is {hidden}; give the width of at least one layer, like [512].")
        self.dim, self.num_layers, self.stride = hidden[-1], len(hidden) + 1, image_size
        self.channels = channels
        self.normalize = Normalize(*normalization("MLP", mean, std, statistics))
        widths = [channels * image_size**2, *hidden]
        self.layers = nn.ModuleList(nn.Linear(*each) for each in pairwise(widths))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"hidden": [48, 32]}

    def parameter_layers(self) -> list[list[str]]:
        """Every linear layer."""
        return [[f"layers.{number}"] for number in range(len(self.layers))]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The normalised pixels as one long vector, ``(B, 1, pixels)``; images are never padded."""
        if math.prod(inputs.shape[2:]) != self.stride**2:
            raise InputError(
                f"MLP: built for images of {self.stride} pixels a side, but these are {inputs.shape[2]} x "
                f"{inputs.shape[3]}; set the encoder's `image_size` to match the data."
            )
        return Embedded(self.normalize(inputs, self.channels).flatten(1)[:, None])

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """The hidden vectors; pooled is the only one of the last layer."""
        self.require_all(places)
        states = [embedded.vectors]
        for layer in self.layers:
            states.append(torch.relu(layer(states[-1])))
        return Encoded(states[-1], states[-1][:, 0], None, tuple(states) if layers else ())
