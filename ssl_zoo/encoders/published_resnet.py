"""Released residual networks under torchvision's names, whoever published them."""

import re
from collections import Counter
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from ssl_zoo.encoders.adapting import adapt_channels, adapt_statistics, to_grey
from ssl_zoo.encoders.published import Released, read_released
from ssl_zoo.errors import InputError

# Residual blocks in each of the four stages (He et al., 2015, arXiv:1512.03385, table 1); ResNet-10 is the customary
# smallest member of the family, one block a stage. Deep ones have blocks of three convolutions.
Depth = Literal[10, 18, 34, 50, 101, 152]
BLOCKS: dict[Depth, tuple[int, ...]] = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECK = 50
STEM = {"embedder.embedder.convolution": "conv1", "embedder.embedder.normalization": "bn1"}


class PublishedResNet(NamedTuple):
    """A residual network as it was published.

    Attributes:
        depth: see `BLOCKS`.
        width: channels of the first stage.
        stem: `large` with a first convolution of 7x7, `small` with one of 3x3.
        weights: weights by torchvision's names.
        mean: mean of each channel, which was subtracted from images in [0, 1]; None where unknown.
        std: standard deviation of each channel; None where unknown.
    """

    depth: Depth
    width: int
    stem: Literal["small", "large"]
    weights: dict[str, Tensor]
    mean: list[float] | None
    std: list[float] | None


def read_resnet(source: str) -> tuple[PublishedResNet, Any]:
    """A published ResNet by name, from a folder or from a file.

    Args:
        source: see `read_released`.

    Returns:
        What it is, and the library's own network from images ``(B, C, H, W)`` to pooled vectors; None of a file.

    Raises:
        InputError: it cannot be read, or is no ResNet of these blocks.
    """
    released = read_released(source)
    if released.naming.endswith("ViT"):
        raise InputError(f"pretrained: {source} is a ViT and this encoder is a ResNet; take ViT as the encoder.")
    weights = _renamed(released.state) if released.naming.startswith("transformers") else released.state
    counted = Counter(match[1] for name in weights if (match := re.fullmatch(r"layer(\d)\.\d+\.conv1\.weight", name)))
    blocks, bottleneck = tuple(count for _, count in sorted(counted.items())), "layer1.0.conv3.weight" in weights
    depths: list[Depth] = [
        depth for depth, known in BLOCKS.items() if known == blocks and bottleneck == (depth >= BOTTLENECK)
    ]
    kernel = weights.get("conv1.weight")
    if not depths or kernel is None or kernel.shape[2] not in (3, 7):
        raise InputError(
            f"pretrained: {source} has stages of {', '.join(map(str, blocks))} blocks, or a stem, that no ResNet of "
            f"depth {', '.join(map(str, BLOCKS))} has; choose another."
        )
    stem: Literal["small", "large"] = "large" if kernel.shape[2] == 7 else "small"
    found = PublishedResNet(depths[0], kernel.shape[0], stem, weights, released.mean, released.std)
    return found, _pooling(released)


def fit_resnet(found: PublishedResNet, channels: int) -> PublishedResNet:
    """The same network for images of another number of channels."""
    kernel = found.weights["conv1.weight"]
    if channels == 1 and kernel.shape[1] > 1 and found.mean is not None and found.std is not None:
        kernel, _ = to_grey(kernel, None, found.mean, found.std)
    else:
        kernel = adapt_channels(kernel, channels)
    mean, std = (adapt_statistics(numbers, channels) for numbers in (found.mean, found.std))
    return found._replace(weights=found.weights | {"conv1.weight": kernel}, mean=mean, std=std)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The transformers library's names as torchvision's."""
    renamed = {}
    for name, value in state.items():
        for old, new in STEM.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        name = re.sub(r"^encoder\.stages\.(\d)\.layers\.", lambda match: f"layer{int(match[1]) + 1}.", name)
        name = name.replace("shortcut.convolution", "downsample.0").replace("shortcut.normalization", "downsample.1")
        if found := re.fullmatch(r"(.*)\.layer\.(\d)\.(convolution|normalization)\.(.*)", name):
            ours = "conv" if found[3] == "convolution" else "bn"
            name = f"{found[1]}.{ours}{int(found[2]) + 1}.{found[4]}"
        renamed[name] = value
    return renamed


class _Pooled(nn.Module):
    """The transformers library's ResNet as a function from images to vectors."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """``(B, D)``."""
        return self.network(pixel_values=images).pooler_output.flatten(1)


def _pooling(released: Released) -> Any:
    """The network without its classifier."""
    network: Any = released.network
    if network is None:
        return None
    if released.naming.startswith("transformers"):
        return _Pooled(network)
    network.fc = nn.Identity()
    return network
