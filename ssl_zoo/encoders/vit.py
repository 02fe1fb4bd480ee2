"""The vision transformer behind the encoder contract: new, or continuing from published weights."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import check_heads, use_fast_attention
from ssl_zoo.encoders.base import Embedded, Encoded, mean_over_places
from ssl_zoo.encoders.normalize import Measured, Normalize, Number
from ssl_zoo.encoders.patches import PatchEncoder
from ssl_zoo.encoders.positions import sine_cosine_positions
from ssl_zoo.encoders.published_run import encoder_of_run, find_run
from ssl_zoo.encoders.published_vit import PublishedViT, build_vit, check_size, fit_vit, read_vit, sizes_of
from ssl_zoo.encoders.weights import Pretrained, load_exactly, normalization, refuse_contradictions, remember, source_of
from ssl_zoo.errors import InputError


class ViT(PatchEncoder):
    """Vision transformer (Dosovitskiy et al., 2020, arXiv:2010.11929) of the transformers library.

    Images of another size than `image_size` work too: position embeddings are interpolated.

    With `pretrained` it continues from released weights: a ViT, DeiT without distillation, MAE, MSN or DINOv2, the last
    with layer scale and registers. Its sizes, its pooling and the `mean` and `std` of its images are the published
    ones; positions are interpolated to `image_size`, and the patch projection is summed over its channels for grey
    images, or takes them in turn for other numbers of `channels`.

    Args:
        image_size: side of the images that the position embeddings are made for; from the data, else 224 or the
            published model's.
        patch_size: side of a patch, in pixels; 16 or the published model's where left out.
        dim: size of the token vectors; 384 or the published model's where left out.
        depth: number of transformer layers; 12 or the published model's where left out.
        heads: number of attention heads, which must divide `dim`; 6 or the published model's where left out. Files of
            weights alone do not say how many they have.
        channels: number of image channels.
        pooling: what becomes the vector of an image: `cls` pools the class token, `mean` the mean over patches; left
            out, it is `cls` or as published.
        dropout: rate of dropout on tokens and attention, in training.
        positions: how places are embedded: `learnt` embeddings, or fixed two-dimensional sines and cosines (`sincos`),
            MoCo v3's and MAE's; left out, they are learnt, from where published ones stand.
        freeze_patches: never train the patch projection, which keeps contrastive training stable (Chen, Xie and He,
            2021, arXiv:2104.02057, section 4.2).
        mean: subtracted from images in [0, 1], one number or one per channel, or `data` for the mean of every channel
            of the training images; 0.5 or as published where left out.
        std: divides images once `mean` is subtracted, one number or one per channel, or `data` for the deviation of
            every channel of the training images; 0.25 or as published where left out.
        statistics: mean and std of every channel in place of `mean` and `std`; from the data, where it measures them.
        pretrained: weights to continue from: `torchvision:vit_b_16`, `timm:vit_small_patch14_dinov2`, `transformers:`
            and a name on the Hugging Face Hub, a folder that `save_pretrained` or `ssl-zoo export` wrote, a
            .safetensors or .pth file, or a run with this encoder (of an experiment's folder the newest).

    Raises:
        InputError: sizes do not fit each other or the published model's, or that cannot be read.
    """

    maskable = droppable = True

    def __init__(
        self,
        image_size: int | None = None,
        patch_size: int | None = None,
        dim: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        channels: int = 3,
        pooling: Literal["cls", "mean"] | None = None,
        dropout: float = 0.0,
        positions: Literal["learnt", "sincos"] | None = None,
        freeze_patches: bool = False,
        mean: Number | None = None,
        std: Number | None = None,
        statistics: Measured | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__()
        source = source_of(pretrained) or ""
        sizes = {"patch_size": patch_size, "dim": dim, "depth": depth, "heads": heads}
        if pretrained is None:
            found = _new(224 if image_size is None else image_size, sizes, channels, positions or "learnt")
        else:
            found = _continued(pretrained, heads, image_size, channels)
            published = {name: found.config[theirs] for name, theirs in NAMES.items()}
            compared = {name: (value, published[name]) for name, value in sizes.items()}
            refuse_contradictions("ViT", source, compared | {"positions": (positions, found.positions)})
        self.normalize = Normalize(
            *normalization("ViT", mean, std, statistics, (found.mean, found.std), source if found.weights else "")
        )
        self.pooling, self.positions = pooling or found.pooling, found.positions
        self.dim, self.stride, self.channels = found.config["hidden_size"], found.config["patch_size"], channels
        self.content_dim = channels * self.stride**2
        self.num_layers = found.config["num_hidden_layers"] + 1
        self.prefix = 1 + found.config.get("num_register_tokens", 0)
        self.model = build_vit(found.config, dropout)
        use_fast_attention(self.model)
        embeddings: Any = self.model.embeddings
        projection = embeddings.patch_embeddings.projection
        # As in MoCo v3's code, where it is not trained: the library's, half as large, would leave positions in charge.
        bound = math.sqrt(6 / (channels * self.stride**2 + self.dim))
        nn.init.uniform_(projection.weight, -bound, bound)
        nn.init.zeros_(projection.bias)
        projection.requires_grad_(not freeze_patches)
        if self.positions == "sincos":
            table = sine_cosine_positions(found.config["image_size"] // self.stride, self.dim)
            del embeddings.position_embeddings
            embeddings.register_buffer("position_embeddings", table)  # by the same name in weight files
        if found.weights:
            load_exactly(self.model, found.weights, source, "ViT")
            remember(self, self.model, found._replace(weights={})._asdict())

    @property
    def blocks(self) -> Any:
        """The transformer's layers, in order."""
        model: Any = self.model
        return model.layers if hasattr(model, "layers") else model.encoder.layer

    def no_weight_decay(self) -> list[str]:
        """The class token, registers, and positions where they are learnt."""
        registers = ["model.embeddings.register_tokens"] if self.prefix > 1 else []
        learnt = ["model.embeddings.position_embeddings"] if self.positions == "learnt" else []
        return ["model.embeddings.cls_token", *registers, *learnt]

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"patch_size": 4, "dim": 32, "depth": 2, "heads": 2}

    def parameter_layers(self) -> list[list[str]]:
        """Patches, class token and positions, then every transformer layer."""
        layers = "model.layers" if hasattr(self.model, "layers") else "model.encoder.layer"
        return [["model.embeddings"], *([f"{layers}.{number}"] for number in range(len(self.blocks)))]

    def feed_forwards(self) -> list[nn.Module]:
        """Before DINOv2's layer scale, too."""
        return [layer.mlp for layer in self.blocks]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The projected patches ``(B, N, dim)``, row by row; images are never padded."""
        if min(inputs.shape[2:]) < self.stride:
            raise InputError(
                f"ViT's patches have {self.stride} pixels a side, and these images or crops of them "
                f"{inputs.shape[2]} x {inputs.shape[3]}: set its patch_size lower, or the size of views higher."
            )
        images = self.normalize(inputs, self.model.config.num_channels)
        return Embedded(self.model.embeddings.patch_embeddings(images), None, {"size": images.shape[2:]})

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Patches and the prefix, the class token and any registers, after the last layer and its norm.

        A mask, which no image has by itself, hides patches from attention.
        """
        mask, attention_mask = embedded.mask, None
        if mask is not None:
            attention_mask = F.pad(mask, (self.prefix, 0), value=True)[:, None, None]
        vectors = self._with_positions(embedded, places)
        states = [vectors] if layers else []
        for layer in self.blocks:
            vectors = layer(vectors, attention_mask)
            if layers:
                states.append(vectors)
        vectors = self.model.layernorm(vectors)
        prefix, sequence = vectors[:, : self.prefix], vectors[:, self.prefix :]
        pooled = vectors[:, 0] if self.pooling == "cls" else mean_over_places(sequence, mask)
        return Encoded(sequence, pooled, mask, tuple(states), prefix)

    def _with_positions(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The class token, any registers, then the patches, with positions added, ``(B, prefix + K, dim)``."""
        embeddings: Any = self.model.embeddings
        height, width = embedded.hints["size"]
        patches = (height // self.stride) * (width // self.stride)
        # Of its first argument the library's function wants no more than the shape.
        positions = embeddings.interpolate_pos_encoding(embeddings.cls_token.expand(1, 1 + patches, -1), height, width)
        if places is not None:
            positions = positions[0, F.pad(places + 1, (1, 0))]
        tokens = torch.cat([embeddings.cls_token.expand(embedded.vectors.shape[0], -1, -1), embedded.vectors], dim=1)
        tokens = tokens + positions
        if self.prefix > 1:  # registers stand nowhere
            registers = embeddings.register_tokens.expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        return embeddings.dropout(tokens)


# What the encoder's sizes are called in the transformers library, and what they are in a new one.
NAMES = {"patch_size": "patch_size", "dim": "hidden_size", "depth": "num_hidden_layers", "heads": "num_attention_heads"}
DEFAULTS = {"patch_size": 16, "dim": 384, "depth": 12, "heads": 6}


def _new(
    image_size: int, sizes: dict[str, int | None], channels: int, positions: Literal["learnt", "sincos"]
) -> PublishedViT:
    """The description of a network that continues from nothing."""
    chosen = {name: DEFAULTS[name] if value is None else value for name, value in sizes.items()}
    dim, heads = chosen["dim"], chosen["heads"]
    check_heads("ViT", dim, heads)
    check_size(image_size, chosen["patch_size"])
    if positions == "sincos" and dim % 4:
        raise InputError(f"ViT: dim {dim} is not a multiple of 4, which positions of sines and cosines need.")
    config = {
        "model_type": "vit",
        "image_size": image_size,
        "num_channels": channels,
        "intermediate_size": 4 * dim,
        **{NAMES[name]: value for name, value in chosen.items()},
    }
    return PublishedViT(config, {}, "cls", positions, [0.5], [0.25])


def _continued(pretrained: Pretrained, heads: int | None, image_size: int | None, channels: int) -> PublishedViT:
    """Published weights for images of this size and number of channels; without weights where they were read before."""
    if isinstance(pretrained, dict):
        return PublishedViT(**pretrained["architecture"])
    folder = find_run(pretrained)
    if folder is not None:
        encoder = encoder_of_run(ViT, folder)
        mean, std = (value.flatten().tolist() for value in (encoder.normalize.mean, encoder.normalize.std))
        weights, config = encoder.model.state_dict(), sizes_of(encoder.model.config)
        found = PublishedViT(config, weights, encoder.pooling, encoder.positions, mean, std)
    else:
        found = read_vit(pretrained, heads)
    return fit_vit(found, image_size, channels)
