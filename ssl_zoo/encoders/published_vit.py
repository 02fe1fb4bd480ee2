"""Released vision transformers under the transformers library's names, whoever published them."""

import warnings
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.adapting import adapt_channels, adapt_statistics, resize_positions, to_grey
from ssl_zoo.encoders.published import Released, read_released
from ssl_zoo.encoders.published_blocks import rename_blocks
from ssl_zoo.encoders.weights import PATCHES, POSITIONS, load_exactly, require_same
from ssl_zoo.errors import InputError

Pooling = Literal["cls", "mean"]
SIZES = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "mlp_ratio",
         "hidden_act", "layer_norm_eps", "qkv_bias", "image_size", "patch_size", "num_channels", "use_swiglu_ffn",
         "num_register_tokens")  # fmt: skip


class PublishedViT(NamedTuple):
    """A vision transformer as it was published.

    Attributes:
        config: settings of the transformers library's model, with its `model_type`.
        weights: weights of that model, by name.
        pooling: `cls` or `mean`, whichever its authors take for an image.
        positions: `learnt`, or `sincos` where they are not to be trained.
        mean: mean of each channel, which was subtracted from images in [0, 1]; None where unknown.
        std: standard deviation of each channel; None where unknown.
    """

    config: dict[str, Any]
    weights: dict[str, Tensor]
    pooling: Pooling
    positions: Literal["learnt", "sincos"]
    mean: list[float] | None
    std: list[float] | None


def read_vit(source: str, heads: int | None) -> PublishedViT:
    """A published ViT by name, from a folder or from a file.

    Args:
        source: see `read_released`.
        heads: attention heads, which files of weights alone say nothing about.

    Raises:
        InputError: it cannot be read, or is none that these weights' names describe.
    """
    released = read_released(source)
    if released.naming.endswith("ResNet"):
        raise InputError(f"pretrained: {source} is a ResNet and this encoder is a ViT; take ResNet as the encoder.")
    if released.naming == "transformers' ViT":
        found = _from_transformers(released)
    else:
        config, weights = rename_blocks(released, heads)
        pooling: Pooling = "mean" if getattr(released.network, "global_pool", "token") == "avg" else "cls"
        found = PublishedViT(config, weights, pooling, "learnt", released.mean, released.std)
    if released.network is not None:
        _compare(released, found)
    return found


def build_vit(config: dict[str, Any], dropout: float) -> Any:
    """The transformers library's model of these sizes, weights drawn at random, without what only pretraining needs."""
    from transformers import AutoConfig, Dinov2Model, Dinov2WithRegistersModel, ViTModel

    rates: dict[str, Any] = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    kind = config["model_type"]
    if kind == "dinov2":
        rates["use_mask_token"] = False
    settings: Any = AutoConfig.for_model(**config, **rates)
    if kind == "vit":
        return ViTModel(settings, add_pooling_layer=False)
    if kind == "dinov2":
        return Dinov2Model(settings)
    model: Any = Dinov2WithRegistersModel(settings)
    model.embeddings.mask_token = None
    return model


def whole_state(model: Any) -> dict[str, Tensor]:
    """A built model's weights, with zeros for the mask token that the library expects of one with registers."""
    state = model.state_dict()
    if model.config.model_type == "dinov2_with_registers":
        state["embeddings.mask_token"] = state["embeddings.cls_token"].new_zeros(1, model.config.hidden_size)
    return state


def fit_vit(found: PublishedViT, image_size: int | None, channels: int) -> PublishedViT:
    """The same network for images of another size and number of channels.

    Args:
        found: the model as published.
        image_size: side of the images in pixels; as published where left out.
        channels: number of channels of the images.
    """
    config, weights = dict(found.config), dict(found.weights)
    if image_size is not None:
        check_size(image_size, config["patch_size"])
        # As the network's own code does for images of another size.
        antialias = config["model_type"] == "dinov2_with_registers" or config.pop("antialias", False)
        weights[POSITIONS] = resize_positions(weights[POSITIONS], image_size // config["patch_size"], antialias)
        config["image_size"] = image_size
    config.pop("antialias", None)
    kernel, bias = f"{PATCHES}.weight", f"{PATCHES}.bias"
    if channels == 1 and config["num_channels"] > 1 and found.mean is not None and found.std is not None:
        weights[kernel], shifted = to_grey(weights[kernel], weights.get(bias), found.mean, found.std)
        weights |= {} if shifted is None else {bias: shifted}
    else:
        weights[kernel] = adapt_channels(weights[kernel], channels)
    config["num_channels"] = channels
    mean, std = (adapt_statistics(numbers, channels) for numbers in (found.mean, found.std))
    return found._replace(config=config, weights=weights, mean=mean, std=std)


def sizes_of(config: Any) -> dict[str, Any]:
    """What builds a model of the transformers library anew, of its configuration."""
    sizes = {name: getattr(config, name) for name in SIZES if hasattr(config, name)}
    sizes["model_type"] = "vit" if config.model_type in ("vit_mae", "vit_msn") else config.model_type
    for name in ("image_size", "patch_size"):
        if not isinstance(sizes[name], int):
            high, wide = sizes[name]
            if high != wide:
                raise InputError(f"pretrained: {name} is {high} x {wide} where this ViT's is square; choose another.")
            sizes[name] = high
    return sizes


def check_size(image_size: int, patch_size: int) -> None:
    """Warn of pixels that no patch covers.

    Args:
        image_size: side of the images in pixels.
        patch_size: side of a patch in pixels.

    Raises:
        InputError: images are smaller than a patch.
    """
    if image_size < patch_size:
        raise InputError(
            f"ViT: images of {image_size} pixels are smaller than one patch of {patch_size}; lower patch_size, or make "
            "data.image_size larger."
        )
    if left := image_size % patch_size:
        warnings.warn(
            f"ViT: patches of {patch_size} pixels do not divide images of {image_size}: the last {left} rows and "
            f"columns are never seen. Set data.image_size to {image_size - left} or {image_size - left + patch_size}, "
            "or another patch_size.",
            stacklevel=3,
        )


def _from_transformers(released: Released) -> PublishedViT:
    network: Any = released.network
    if network is None:
        raise InputError(
            f"pretrained: {released.source} lies alone, without the config.json that says its sizes; give the folder "
            "that `save_pretrained` wrote."
        )
    return PublishedViT(sizes_of(network.config), released.state, "cls", "learnt", released.mean, released.std)


@torch.no_grad()
def _compare(released: Released, found: PublishedViT) -> None:
    """Refuses a network that computes something else than the one its weights are put into."""
    config = {name: value for name, value in found.config.items() if name != "antialias"}
    with torch.random.fork_rng():
        ours = build_vit(config, dropout=0.0).eval()
        load_exactly(ours, found.weights, released.source, "ViT")
        side = config["image_size"]
        images = torch.randn(1, config["num_channels"], side, side)
        network: Any = released.network
        if released.naming.startswith("timm"):
            theirs = network.forward_features(images)
        elif released.naming.startswith("torchvision"):
            network.heads = nn.Identity()
            theirs = network(images)
        else:
            theirs = network(pixel_values=images).last_hidden_state
        sequence = ours(pixel_values=images).last_hidden_state
        require_same(released.source, theirs, sequence[:, 0] if theirs.ndim == 2 else sequence)
