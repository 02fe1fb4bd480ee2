"""Image encoders: torchvision's ResNets, transformers' ViT and a plain MLP behind the encoder contract."""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder, mean_over_places
from ssl_zoo.encoders.normalize import Normalize
from ssl_zoo.encoders.positions import sine_cosine_positions
from ssl_zoo.encoders.residual import residual_stage
from ssl_zoo.errors import InputError

# Residual blocks in each of the four stages (He et al., 2015, arXiv:1512.03385, table 1); ResNet-10 is the customary
# smallest member of the family, one block a stage.
_BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ResNet(Encoder):
    """Residual network (He et al., 2015, arXiv:1512.03385) of torchvision's blocks, of any width, for any image size.

    Parameter names are torchvision's, so that weights go in and out by `load_state_dict`. Convolutions run in
    channels_last memory format, the fastest one on CPUs and GPUs alike. Pooled is the mean over positions.

    Args:
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; later stages have 2, 4 and 8 times as many. 64 is the paper's, 16 is what
            a laptop can train.
        stem: `small` is one 3x3 convolution of stride 1, for images up to about 64 pixels (the CIFAR stem); `large` is
            the paper's 7x7 convolution of stride 2 and max pooling.
        channels: image channels.
        zero_init: start the last norm of every block at zero, so that a block does nothing at first (Goyal et al.,
            2017, arXiv:1706.02677, section 5.1), as the published code of SimCLR, BYOL, SimSiam and MoCo v3 does and
            that of MoCo v1 and v2 does not. Blocks take hundreds of steps to wake: it is for long runs.
        mean: subtracted from images in [0, 1], one number or one per channel.
        std: divides the images after that, one number or one per channel.
        statistics: mean and std of every channel in place of these two; from the data, where it measures them.
    """

    modality = "image"
    num_layers = 5

    def __init__(
        self,
        depth: Literal[10, 18, 34, 50] = 18,
        width: int = 64,
        stem: Literal["small", "large"] = "small",
        channels: int = 3,
        zero_init: bool = False,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.25,
        statistics: tuple[list[float], list[float]] | None = None,
    ) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock, Bottleneck

        block: Any = Bottleneck if depth == 50 else BasicBlock
        self.dim = 8 * width * block.expansion
        self.stride = 8 if stem == "small" else 32
        self.normalize = Normalize(*(statistics or (mean, std)))
        if stem == "small":
            self.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
            self.maxpool: nn.Module = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        stages, entering = [], width
        for stage, blocks in enumerate(_BLOCKS[depth]):
            stages.append(residual_stage(block, entering, width * 2**stage, blocks, stride=1 if stage == 0 else 2))
            entering = width * 2**stage * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init and isinstance(module, BasicBlock | Bottleneck):
                last: Any = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                nn.init.zeros_(last.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

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


class ViT(Encoder):
    """Vision transformer (Dosovitskiy et al., 2020, arXiv:2010.11929) of the transformers library.

    Images of another size than `image_size` work too: position embeddings are interpolated.

    Args:
        image_size: side of the images that the position embeddings are made for.
        patch_size: side of a patch, in pixels.
        dim: size of the token vectors.
        depth: transformer layers.
        heads: attention heads; must divide `dim`.
        channels: image channels.
        pooling: `cls` pools the class token, `mean` the mean over patches.
        dropout: rate of dropout on tokens and attention, in training.
        positions: `learnt` embeddings, or fixed two-dimensional sines and cosines (`sincos`), MoCo v3's and MAE's.
        freeze_patches: never train the patch projection, which keeps contrastive training stable (Chen, Xie and He,
            2021, arXiv:2104.02057, section 4.2).
        mean: subtracted from images in [0, 1], one number or one per channel.
        std: divides the images after that, one number or one per channel.
        statistics: mean and std of every channel in place of these two; from the data, where it measures them.
    """

    modality = "image"
    prefix = 1
    maskable = droppable = True

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 384,
        depth: int = 12,
        heads: int = 6,
        channels: int = 3,
        pooling: Literal["cls", "mean"] = "cls",
        dropout: float = 0.0,
        positions: Literal["learnt", "sincos"] = "learnt",
        freeze_patches: bool = False,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.25,
        statistics: tuple[list[float], list[float]] | None = None,
    ) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        if dim % heads:
            raise InputError(f"ViT: dim {dim} is not a multiple of heads {heads}; choose numbers that divide.")
        if image_size < patch_size:
            raise InputError(
                f"ViT: images of {image_size} pixels are smaller than one patch of {patch_size}; lower patch_size."
            )
        if positions == "sincos" and dim % 4:
            raise InputError(f"ViT: dim {dim} is not a multiple of 4, which positions of sines and cosines need.")
        self.dim, self.num_layers, self.stride, self.pooling = dim, depth + 1, patch_size, pooling
        self.normalize = Normalize(*(statistics or (mean, std)))
        config = ViTConfig(
            image_size=image_size,
            patch_size=patch_size,
            hidden_size=dim,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * dim,
            num_channels=channels,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        self.model = ViTModel(config, add_pooling_layer=False)
        use_fast_attention(self.model)
        embeddings: Any = self.model.embeddings
        projection = embeddings.patch_embeddings.projection
        # As in MoCo v3's code, where it is not trained: the library's, half as large, would leave positions in charge.
        bound = math.sqrt(6 / (channels * patch_size**2 + dim))
        nn.init.uniform_(projection.weight, -bound, bound)
        nn.init.zeros_(projection.bias)
        projection.requires_grad_(not freeze_patches)
        self.positions = positions
        if positions == "sincos":
            table = sine_cosine_positions(image_size // patch_size, dim)
            del embeddings.position_embeddings
            embeddings.register_buffer("position_embeddings", table)  # by the same name in weight files

    def no_weight_decay(self) -> list[str]:
        """The class token and, where they are learnt, the positions."""
        learnt = ["model.embeddings.position_embeddings"] if self.positions == "learnt" else []
        return ["model.embeddings.cls_token", *learnt]

    def parameter_layers(self) -> list[list[str]]:
        """Patches, class token and positions, then every transformer layer."""
        return [["model.embeddings"], *([f"model.layers.{number}"] for number in range(len(self.model.layers)))]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The projected patches ``(B, N, dim)``, row by row; images are never padded."""
        images = self.normalize(inputs, self.model.config.num_channels)
        return Embedded(self.model.embeddings.patch_embeddings(images), None, {"size": images.shape[2:]})

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Patches and the class token, which is the prefix, after the last layer and its norm.

        A mask, which no image has by itself, hides patches from attention.
        """
        mask, attention_mask = embedded.mask, None
        if mask is not None:
            attention_mask = F.pad(mask, (1, 0), value=True)[:, None, None]
        vectors = self._with_positions(embedded, places)
        states = [vectors] if layers else []
        for layer in self.model.layers:
            vectors = layer(vectors, attention_mask)
            if layers:
                states.append(vectors)
        vectors = self.model.layernorm(vectors)
        class_token, sequence = vectors[:, :1], vectors[:, 1:]
        pooled = vectors[:, 0] if self.pooling == "cls" else mean_over_places(sequence, mask)
        return Encoded(sequence, pooled, mask, tuple(states), class_token)

    def _with_positions(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The class token, then the patches, with positions added, ``(B, 1 + K, dim)``."""
        embeddings: Any = self.model.embeddings
        height, width = embedded.hints["size"]
        patches = (height // self.stride) * (width // self.stride)
        # Of its first argument the library's function wants no more than the shape.
        positions = embeddings.interpolate_pos_encoding(embeddings.cls_token.expand(1, 1 + patches, -1), height, width)
        if places is not None:
            positions = positions[0, F.pad(places + 1, (1, 0))]
        tokens = torch.cat([embeddings.cls_token.expand(embedded.vectors.shape[0], -1, -1), embedded.vectors], dim=1)
        return embeddings.dropout(tokens + positions)


class MLP(Encoder):
    """The flattened image through linear layers with ReLU; the whole image is one position.

    Args:
        hidden: widths of the layers; pooled is what the last one gives.
        channels: image channels.
        image_size: height and width in pixels.
        mean: subtracted from images in [0, 1], one number or one per channel.
        std: divides the images after that, one number or one per channel.
        statistics: mean and std of every channel in place of these two; from the data, where it measures them.
    """

    modality = "image"

    def __init__(
        self,
        hidden: list[int] = [512],  # noqa: B006  # never changed, and --help shows it
        channels: int = 1,
        image_size: int = 28,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.25,
        statistics: tuple[list[float], list[float]] | None = None,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise InputError(f"MLP: hidden is {hidden}; give the width of at least one layer, like [512].")
        self.dim, self.num_layers, self.stride = hidden[-1], len(hidden) + 1, image_size
        self.channels = channels
        self.normalize = Normalize(*(statistics or (mean, std)))
        widths = [channels * image_size**2, *hidden]
        self.layers = nn.ModuleList(nn.Linear(*each) for each in pairwise(widths))

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
