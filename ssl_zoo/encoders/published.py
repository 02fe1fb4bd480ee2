"""Released weights of images, by name, file or run: read, recognised, or refused in a sentence."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.weights import HEADS, refuse_unknown, wrong_shape
from ssl_zoo.errors import InputError, reason_of
from ssl_zoo.hub import without_waiting
from ssl_zoo.suggestions import nearest, then

LIBRARIES = ("torchvision", "timm", "transformers")
# One parameter by which each library's naming is recognised.
NAMINGS = {
    "blocks.0.attn.qkv.weight": "timm's ViT",
    "encoder.layers.encoder_layer_0.ln_1.weight": "torchvision's ViT",
    "embeddings.patch_embeddings.projection.weight": "transformers' ViT",
    "layer1.0.conv1.weight": "torchvision's ResNet",
    "embedder.embedder.convolution.weight": "transformers' ResNet",
}


class Released(NamedTuple):
    """Weights as they were published.

    Attributes:
        source: where they come from, as the user wrote it.
        naming: whose names they have, one of `NAMINGS`.
        state: parameters and buffers by those names, in float32 on the CPU, without heads.
        network: the library's own network with them, in evaluation mode; None where they come without one.
        mean: mean of each channel, which was subtracted from images in [0, 1]; None where unknown.
        std: standard deviation of each channel; None where unknown.
    """

    source: str
    naming: str
    state: dict[str, Tensor]
    network: nn.Module | None
    mean: list[float] | None
    std: list[float] | None


def read_released(source: str) -> Released:
    """Weights by `torchvision:NAME`, `timm:NAME`, `transformers:NAME`, or from a folder or a file.

    Raises:
        InputError: there is no such thing, it cannot be read, or it holds no ViT or ResNet.
    """
    library, _, name = source.partition(":")
    if library in LIBRARIES and name:
        read = {"torchvision": _from_torchvision, "timm": _from_timm, "transformers": _from_transformers}[library]
        return read(source, name)
    path = Path(source).expanduser()
    if path.name in ("model.safetensors", "pytorch_model.bin") and (path.parent / "config.json").is_file():
        path = path.parent  # which says more than the weights alone
    if path.is_dir() and (path / "config.json").is_file():
        timms = '"architecture"' in (path / "config.json").read_text(encoding="utf-8")
        return _from_timm(source, f"local-dir:{path}") if timms else _from_transformers(source, str(path))
    if path.is_dir() and (path / "model.safetensors").is_file():
        path = path / "model.safetensors"
    if path.is_file():
        content, noted = _read_file(source, path)
        naming, state = _recognise(source, content)
        return Released(source, naming, state, None, noted.get("mean"), noted.get("std"))
    raise InputError(
        then(
            f"pretrained: {source} is no file or folder of weights and names no library{nearest(library, LIBRARIES)}",
            "write torchvision:NAME, timm:NAME or transformers:NAME, or the path of a run, of a folder with "
            "config.json and model.safetensors, or of a .safetensors or .pth file.",
        )
    )


def _from_torchvision(source: str, name: str) -> Released:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"pretrained: torchvision has no classifier '{name}'{nearest(name, known) or '.'}")
    recipe = models.get_model_weights(name).DEFAULT.transforms()
    network = _fetch(source, lambda: models.get_model(name, weights="DEFAULT"))
    return _live(source, network, list(recipe.mean), list(recipe.std))


def _from_timm(source: str, name: str) -> Released:
    try:
        import timm
    except ImportError as error:
        raise InputError("pretrained: timm is not installed: `uv run --extra timm ssl-zoo ...` brings it.") from error
    known = timm.list_models()
    if ":" not in name and name.split(".")[0] not in known:  # with a colon it is a folder or a repository on the Hub
        raise InputError(f"pretrained: timm has no model '{name}'{nearest(name, known) or '.'}")
    # With its classifier: without one timm would pass over weights that are missing or have no place.
    network: Any = _fetch(source, lambda: timm.create_model(name, pretrained=True))
    recipe = timm.data.resolve_model_data_config(network)
    return _live(source, network, list(recipe["mean"]), list(recipe["std"]))


def _from_transformers(source: str, name: str) -> Released:
    from transformers import AutoConfig, Dinov2Model, Dinov2WithRegistersModel, ResNetModel, ViTModel, ViTMSNModel

    classes: dict[str, Any] = {
        "vit": ViTModel,
        "vit_mae": ViTModel,  # the same network; MAE's own class would hide three patches in four
        "vit_msn": ViTMSNModel,
        "dinov2": Dinov2Model,
        "dinov2_with_registers": Dinov2WithRegistersModel,
        "resnet": ResNetModel,
    }
    kind = _fetch(source, lambda: AutoConfig.from_pretrained(name)).model_type
    if kind not in classes:
        raise InputError(
            f"pretrained: {source} is a {kind} model, and ViT and ResNet read {', '.join(classes)}; choose another."
        )
    network, report = _fetch(source, lambda: _load_quietly(classes[kind], name))
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(HEADS))
    if missing:
        raise InputError(f"pretrained: {source} has no weights for {missing[0]}; get the file anew.")
    for key, found, wanted in report["mismatched_keys"]:
        if not key.startswith(HEADS):
            raise wrong_shape(source, key, found, wanted, kind)
    # Of a model with a head the network's own parameters have its name in front, which the report keeps.
    prefix = f"{classes[kind].base_model_prefix}."
    refuse_unknown(source, [key.removeprefix(prefix) for key in report["unexpected_keys"]], kind)
    mean, std = _statistics(name)
    return _live(source, network, mean, std)


def _load_quietly(architecture: Any, name: str) -> Any:
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it reports heads that the file has, or lacks, and nobody asks for
    options = {"add_pooling_layer": False} if architecture.__name__ == "ViTModel" else {}
    try:
        return architecture.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    finally:
        logging.set_verbosity(level)


def _statistics(name: str) -> tuple[list[float] | None, list[float] | None]:
    """Mean and standard deviation in a model's preprocessor_config.json; None where there is no such file."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError):  # the library's for a file that is not there, or a hub that is not
        return None, None
    mean, std = settings.get("image_mean"), settings.get("image_std")
    return (None, None) if mean is None or std is None else (list(mean), list(std))


def _live(source: str, network: nn.Module, mean: list[float] | None, std: list[float] | None) -> Released:
    naming, state = _recognise(source, network.float().state_dict())
    return Released(source, naming, state, network.eval(), mean, std)


def _fetch(source: str, load: Callable[[], Any]) -> Any:
    """What `load` gives; whatever keeps it from loading becomes one sentence."""
    try:
        with without_waiting():
            return load()
    except InputError:
        raise
    except Exception as error:  # each library has errors of its own for networks and files that are not there
        raise InputError(
            f"pretrained: {source} cannot be loaded; check the name and the network, or give a folder or a file "
            f"({type(error).__name__}: {reason_of(error)})."
        ) from error


def _read_file(source: str, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A state dict in a .safetensors file, or in one that `torch.load` reads without running code.

    Returns:
        Weights by name, and what our own exports note beside them: `mean` and `std`.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open
            from safetensors.torch import load_file

            with safe_open(path, "pt") as file:
                noted = file.metadata() or {}
            return load_file(path), {name: json.loads(noted[name]) for name in ("mean", "std") if name in noted}
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose own words advise to run whatever the file holds
        raise InputError(
            f"pretrained: the file {source} cannot be read: it is damaged, or holds Python objects, which could run "
            "any code while they are read; give a .safetensors file, or a state dict that torch.save wrote."
        ) from error
    except Exception as error:  # a damaged or foreign file fails in many ways
        raise InputError(
            f"pretrained: the file {source} cannot be read; give a .safetensors file, or a state dict that torch.save "
            f"wrote ({type(error).__name__}: {reason_of(error)})."
        ) from error
    for name in ("state_dict", "model"):  # where training scripts put it
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise InputError(f"pretrained: the file {source} holds a {type(content).__name__} and no state dict.")
    return content, {}


def _recognise(source: str, state: dict[str, Any]) -> tuple[str, dict[str, Tensor]]:
    """Whose names weights have, and the network's own without what stands in front of all of them, such as `module.`.

    What lies outside of a network that has such a prefix is other parts of a training, and left out.
    """
    found = {
        (key.removesuffix(known), naming)
        for key in state
        for known, naming in NAMINGS.items()
        if key == known or key.endswith(f".{known}")
    }
    if not found:
        raise InputError(
            f"pretrained: {source} holds no ViT or ResNet under the names of timm, torchvision or transformers; "
            "choose another."
        )
    if len(found) > 1:
        names = " and ".join(sorted(repr(prefix) for prefix, _ in found))
        raise InputError(f"pretrained: {source} holds several networks, {names}; save one of them by itself.")
    ((prefix, naming),) = found
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return naming, {
        key: value.float() if value.is_floating_point() else value
        for key, value in own.items()
        if isinstance(value, Tensor) and not key.startswith(HEADS)
    }
