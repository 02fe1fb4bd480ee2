"""Image GPT's encoder: pixels as codes of a palette, read in raster order by a transformer."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import attend, check_heads
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder, mean_over_places
from ssl_zoo.errors import InputError


class ImageGPTEncoder(Encoder):
    """Image GPT's network (Chen et al., 2020, "Generative pretraining from pixels") of the transformers library.

    An image is reduced to one colour for every `stride` x `stride` pixels, their mean, and each becomes the number of
    the nearest colour of a palette: its code. A token that stands for no pixel begins the sequence, and is its prefix;
    what stands there predicts the first pixel. All norms lack the subtraction of the mean, as in the published weights,
    and pooled is the mean over pixels after the last of them.

    The palette of colour images is that of the training images, which k-means makes before training; in Python give it
    `palette=data.palette` of an `ImageData(palette_colours=...)`. Otherwise it is a lattice of evenly spaced levels of
    every channel, of grey images so many shades. It is kept with the weights.

    Args:
        image_size: side of the images; from the data.
        channels: number of image channels.
        colours: colours of the palette at most; 512 are the paper's.
        stride: side of the squares that become one pixel; 1 keeps all, and a sequence as long as there are pixels.
        dim: size of the vectors.
        depth: number of transformer layers.
        heads: attention heads; must divide `dim`.
        dropout: rate of dropout on vectors and attention, in training.
        causal: whether a pixel sees only those before it, as predicting the next one needs; False for the paper's
            second objective, which predicts hidden pixels from all others.
        palette: the palette's colours, each a list of its channels in [0, 1]; from the data, where it makes one.

    Attributes:
        palette: ``(V, C)`` float32 in [0, 1].
        model: the model of the transformers library; `model.save_pretrained` writes it for others to load.

    Raises:
        InputError: sizes do not fit each other, or the palette has a single colour or another number of channels.
    """

    modality = "image"
    maskable = droppable = causal = True
    prefix = 1
    palette: Tensor

    def __init__(
        self,
        image_size: int = 32,
        channels: int = 3,
        colours: int = 512,
        stride: int = 1,
        dim: int = 512,
        depth: int = 24,
        heads: int = 8,
        dropout: float = 0.1,
        causal: bool = True,
        palette: list | None = None,
    ) -> None:
        from transformers import ImageGPTConfig, ImageGPTModel

        super().__init__()
        check_heads("ImageGPTEncoder", dim, heads)
        if stride < 1 or image_size % stride:
            raise InputError(
                f"ImageGPTEncoder: images of {image_size} pixels a side are not cut evenly by stride {stride}; take "
                "one that divides."
            )
        found = lattice(colours, channels) if palette is None else torch.tensor(palette, dtype=torch.float32)
        if found.ndim != 2 or found.shape[1] != channels:
            raise InputError(
                f"ImageGPTEncoder: the palette is {list(found.shape)} numbers, but images have {channels} channels: "
                "give a list of colours, each a number for every channel."
            )
        if len(found) < 2:
            raise InputError(
                "ImageGPTEncoder: a palette of one colour makes all images alike: set colours to 2 or more, and give "
                "images of more than one colour."
            )
        self.register_buffer("palette", found)
        side = image_size // stride
        config = ImageGPTConfig(
            vocab_size=len(found) + 1,  # the token that begins a sequence is the last
            n_positions=side**2 + 1,
            n_embd=dim,
            n_layer=depth,
            n_head=heads,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
        )
        self.model: Any = ImageGPTModel(config)
        self.dim, self.num_layers, self.stride, self.channels = dim, depth + 1, stride, channels
        self.side, self.causal, self.content_dim = side, causal, channels * stride**2

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"colours": 27, "stride": 4, "dim": 32, "depth": 2, "heads": 2}

    def codes(self, inputs: Tensor) -> Tensor:
        """The palette's nearest colour of every pixel ``(B, N)`` int64, row by row.

        Args:
            inputs: ``(B, C, H, W)``, uint8 or in [0, 1].

        Raises:
            InputError: the images are not those that the encoder was built for.
        """
        wanted = (self.channels, self.side * self.stride, self.side * self.stride)
        if inputs.shape[1:] != wanted:
            raise InputError(
                f"ImageGPTEncoder: built for images of {' x '.join(map(str, wanted))}, but these are "
                f"{' x '.join(map(str, inputs.shape[1:]))}; set its image_size and channels to match the data."
            )
        images = inputs.float() if inputs.is_floating_point() else inputs / 255
        pixels = F.avg_pool2d(images, self.stride).flatten(2).transpose(1, 2)
        with torch.autocast(inputs.device.type, enabled=False):  # |x - p|^2 is |x|^2 - 2 x p + |p|^2
            return (pixels @ self.palette.T - self.palette.square().sum(1) / 2).argmax(2)

    def images(self, codes: Tensor) -> Tensor:
        """What codes ``(B, N)`` look like, ``(B, C, H, W)`` in [0, 1], each as large as what it stands for."""
        small = self.palette[codes].transpose(1, 2).unflatten(2, (self.side, self.side))
        return F.interpolate(small, scale_factor=float(self.stride))

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The vectors of the codes ``(B, N, dim)``; images are never padded."""
        return self.embed_codes(self.codes(inputs))

    def embed_codes(self, codes: Tensor) -> Embedded:
        """The same of codes ``(B, N)`` int64 themselves, of an image or of its beginning."""
        return Embedded(self.model.wte(codes))

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Pixels, and the token in front of them, after the last layer and its norm; a mask hides pixels."""
        mask, count = embedded.mask, embedded.vectors.shape[:2]
        start = self.model.wte.weight[-1].to(embedded.vectors.dtype).expand(count[0], 1, -1)
        if places is None:
            places = torch.arange(count[1], device=start.device)[None]
        positions = self.model.wpe(F.pad(places + 1, (1, 0)))
        vectors = self.model.drop(torch.cat([start, embedded.vectors], dim=1) + positions)
        attention_mask = None
        if mask is not None:
            attention_mask = F.pad(mask > 0, (1, 0), value=True)[:, None, None]
            if self.causal:
                attention_mask = attention_mask.expand(-1, -1, count[1] + 1, -1).tril()
        states = [vectors] if layers else []
        for layer in self.model.h:
            vectors = _layer(layer, vectors, attention_mask, self.causal)
            if layers:
                states.append(vectors)
        vectors = self.model.ln_f(vectors)
        sequence, real = vectors[:, 1:], None if mask is None else mask > 0
        return Encoded(sequence, mean_over_places(sequence, real), real, tuple(states), vectors[:, :1])

    def contents(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The pixels ``(B, N, channels * stride * stride)`` in [0, 1] that each code stands for, channel by channel."""
        return F.unfold(inputs.float(), self.stride, stride=self.stride).transpose(1, 2)

    def arrange(self, values: Tensor, inputs: Tensor) -> Tensor:
        """The image that they make up."""
        size = (self.side * self.stride, self.side * self.stride)
        return F.fold(values.transpose(1, 2), size, self.stride, stride=self.stride)

    def grid(self, inputs: Tensor) -> tuple[int, int]:
        """Pixels from top to bottom and from left to right."""
        return self.side, self.side

    def no_weight_decay(self) -> list[str]:
        """The positions."""
        return ["model.wpe"]

    def parameter_layers(self) -> list[list[str]]:
        """Codes and positions, then every transformer layer."""
        return [["model.wte", "model.wpe"], *([f"model.h.{number}"] for number in range(len(self.model.h)))]

    def feed_forwards(self) -> list[nn.Module]:
        """What follows attention in every layer."""
        return [layer.mlp for layer in self.model.h]


def lattice(colours: int, channels: int) -> Tensor:
    """``(V, channels)`` evenly spaced levels of every channel in [0, 1], all combinations; V is `colours` at most.

    Raises:
        InputError: there are not two levels for every channel.
    """
    levels = math.floor(colours ** (1 / channels) + 1e-9)
    if levels < 2:
        raise InputError(
            f"ImageGPTEncoder: colours is {colours}; give at least {2**channels}, two levels of {channels} channels."
        )
    return torch.cartesian_prod(*[torch.linspace(0, 1, levels)] * channels).view(-1, channels)


def _layer(layer: Any, vectors: Tensor, attention_mask: Tensor | None, causal: bool) -> Tensor:
    """What transformers' `ImageGPTBlock` computes, by fast attention, and from both sides where it is not causal."""
    attention = layer.attn
    shape = (*vectors.shape[:2], 3, attention.num_heads, attention.head_dim)
    query, key, value = attention.c_attn(layer.ln_1(vectors)).view(shape).permute(2, 0, 3, 1, 4)
    settings = {"dropout": attention.attn_dropout.p if attention.training else 0.0, "scaling": attention.head_dim**-0.5}
    heads, _ = attend(attention, query, key, value, attention_mask, is_causal=causal, **settings)
    vectors = vectors + attention.resid_dropout(attention.c_proj(heads.flatten(2)))
    return vectors + layer.mlp(layer.ln_2(vectors))
