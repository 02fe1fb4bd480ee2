"""A residual network that sees one patch of an image at a time."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.normalize import Measured, Normalize, Number
from ssl_zoo.encoders.published_resnet import BLOCKS, BOTTLENECK, Depth
from ssl_zoo.encoders.residual import layer_norm, residual_stage
from ssl_zoo.encoders.weights import normalization
from ssl_zoo.errors import InputError


class PatchResNet(Encoder):
    """A ResNet on each of the overlapping patches of an image, as in CPC (Hénaff et al., 2019, arXiv:1905.09272).

    Patches lie in a grid. Each becomes one vector, by a network that sees nothing else: a method may then predict one
    patch from others. Norms are layer norms, each over one map of one patch, as batch norm would let patches of a batch
    see each other. Pooled is the mean over patches.

    Args:
        patch_size: height and width of a patch in pixels; 64 of images of 256 in the paper.
        overlap: what two neighbours have in common, as a part of a patch's side; half in the paper.
        depth: number of layers: 10, 18, 34, 50, 101 or 152.
        width: channels of the first stage, see `ResNet`.
        stem: first layers of the network: `small` for patches up to about 64 pixels, or `large`, see `ResNet`.
        channels: number of image channels.
        mean: subtracted from images in [0, 1], one number or one per channel, or `data` for the mean of every channel
            of the training images.
        std: divides images once `mean` is subtracted, one number or one per channel, or `data` for the deviation of
            every channel of the training images.
        statistics: mean and std of every channel in place of `mean` and `std`; from the data, where it measures them.

    Raises:
        InputError: `patch_size`, `overlap` or `width` is out of its range.
    """

    modality = "image"
    num_layers = 5

    def __init__(
        self,
        patch_size: int = 64,
        overlap: float = 0.5,
        depth: Depth = 18,
        width: int = 64,
        stem: Literal["small", "large"] = "small",
        channels: int = 3,
        mean: Number = 0.5,
        std: Number = 0.25,
        statistics: Measured | None = None,
    ) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock, Bottleneck

        for name, value in (("patch_size", patch_size), ("width", width)):
            if value < 1:
                raise InputError(f"PatchResNet's {name} is {value}; give a number of at least 1.")
        if not 0 <= overlap < 1:
            raise InputError(f"PatchResNet's overlap is {overlap:g}; give a part of a patch's side, from 0 to below 1.")
        self.normalize = Normalize(*normalization("PatchResNet", mean, std, statistics))
        self.patch_size, self.channels = patch_size, channels
        self.stride, self.offset = max(1, round(patch_size * (1 - overlap))), patch_size // 2
        block: Any = Bottleneck if depth >= BOTTLENECK else BasicBlock
        self.dim = 8 * width * block.expansion
        small = stem == "small"
        self.conv1 = nn.Conv2d(channels, width, *((3, 1, 1) if small else (7, 2, 3)), bias=False)
        self.bn1 = layer_norm(width)  # a name of torchvision's, as those of the blocks
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        stages, entering = [], width
        for stage, blocks in enumerate(BLOCKS[depth]):
            planes = width * 2**stage
            stages.append(residual_stage(block, entering, planes, blocks, 1 if stage == 0 else 2, layer_norm))
            entering = planes * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"patch_size": 4, "depth": 10, "width": 8}

    def parameter_layers(self) -> list[list[str]]:
        """The stem, then every residual block."""
        stages = ("layer1", "layer2", "layer3", "layer4")
        blocks = [[f"{stage}.{number}"] for stage in stages for number in range(len(getattr(self, stage)))]
        return [["conv1", "bn1"], *blocks]

    def patch_grid(self, inputs: Tensor) -> tuple[int, int]:
        """Patches from top to bottom and from left to right.

        Raises:
            InputError: the images are smaller than a patch.
        """
        height, width = inputs.shape[2:]
        if min(height, width) < self.patch_size:
            raise InputError(
                f"PatchResNet's patches have {self.patch_size} pixels a side, and these images {height} x {width}: set "
                f"its patch_size to {min(height, width)} at most."
            )
        return (height - self.patch_size) // self.stride + 1, (width - self.patch_size) // self.stride + 1

    def cut(self, images: Tensor) -> Tensor:
        """Patches ``(B, N, C, S, S)`` of images ``(B, C, H, W)``, row by row.

        Pixels that no patch reaches, fewer than `stride` along a side, are left over on both sides alike.
        """
        for axis, patches in zip((2, 3), self.patch_grid(images), strict=True):
            reach = (patches - 1) * self.stride + self.patch_size
            images = images.narrow(axis, (images.shape[axis] - reach) // 2, reach)
        windows = images.unfold(2, self.patch_size, self.stride).unfold(3, self.patch_size, self.stride)
        return windows.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The normalised pixels of every patch, ``(B, N, C * S * S)``; images are never padded."""
        return self.embed_patches(self.cut(inputs))

    def embed_patches(self, patches: Tensor) -> Embedded:
        """The same of patches ``(B, N, C, S, S)`` in [0, 1], such as `cut` gives, whatever has been done to them."""
        pixels = self.normalize(patches.flatten(0, 1), self.channels)
        return Embedded(pixels.flatten(1).unflatten(0, patches.shape[:2]))

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """One vector per patch, and their mean.

        `layers` holds what the stem and the four stages give, of every patch the mean over its positions.
        """
        self.require_all(places)
        grid, side = embedded.vectors.shape[:2], self.patch_size
        patches = embedded.vectors.flatten(0, 1).unflatten(1, (self.channels, side, side))
        maps = self.conv1(patches.contiguous(memory_format=torch.channels_last))
        states = [maps := self.maxpool(torch.relu(self.bn1(maps)))]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            states.append(maps := stage(maps))
        vectors = [maps.mean((2, 3)).unflatten(0, grid) for maps in (states if layers else states[-1:])]
        return Encoded(vectors[-1], vectors[-1].mean(1), None, tuple(vectors) if layers else ())
