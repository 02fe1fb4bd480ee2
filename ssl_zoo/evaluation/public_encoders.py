"""Encoders that others have pretrained, by name: from torchvision, timm or transformers."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.representations import Representation
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.errors import InputError, reason_of
from ssl_zoo.evaluation.extraction import representation_of, vectors_of
from ssl_zoo.evaluation.public_layers import as_sequences, find_layers, recorded, vectors_without_place
from ssl_zoo.evaluation.public_transformers import (
    Pooling,
    PublicImageModel,
    load_image_model,
    load_speech_model,
    load_text_model,
)
from ssl_zoo.hub import without_waiting
from ssl_zoo.suggestions import nearest, then

LIBRARIES = ("torchvision", "timm", "transformers")


def load_public(
    name: str,
    data: DataModule,
    weights: Path | None = None,
    image_size: int | None = None,
    pooling: Pooling = "auto",
    trained: bool = True,
) -> nn.Module:
    """A published encoder that maps a `Batch` of the data to ``(B, D)`` vectors, in evaluation mode.

    Args:
        name: `torchvision:resnet18`, `timm:vit_small_patch16_224`, or `transformers:` and a name on the Hugging Face
            Hub or a folder.
        data: what it is to read.
        weights: a file with a state dict for an architecture of torchvision or timm; what the library publishes when
            None.
        image_size: side in pixels that images are resized to; what the weights were trained on when None.
        pooling: see `ssl_zoo.evaluation.public_transformers`.
        trained: False draws weights at random and fetches none.

    Raises:
        InputError: there is no such encoder, its weights cannot be had, or it cannot read the data.
    """
    library, _, model = name.partition(":")
    if library not in LIBRARIES or not model:
        raise InputError(
            then(
                f"encoder: {name} names no library{nearest(library, LIBRARIES)}",
                "write torchvision:NAME, timm:NAME or transformers:NAME_OR_FOLDER.",
            )
        )
    if weights is not None and library == "transformers":
        raise InputError("weights: a model of transformers comes as a folder; name it as transformers:FOLDER instead.")
    if pooling != "auto" and library != "transformers":
        raise InputError(f"pooling: {library} says itself how its models pool; leave it out.")
    readers = {"image": _load_for_images, "text": _load_for_text, "audio": _load_for_speech}
    if data.modality not in readers:
        raise InputError(f"encoder: public encoders read images, text or speech, and {type(data).__name__} no such.")
    made = readers[data.modality](library, model, data, Options(weights, image_size, pooling, trained))
    return made.eval()


class Options(NamedTuple):
    """The arguments of `load_public` besides the encoder's name and the data."""

    weights: Path | None
    image_size: int | None
    pooling: Pooling
    trained: bool


def _load_for_images(library: str, model: str, data: Any, options: Options) -> nn.Module:
    if library == "transformers":
        network, mean, std, size = load_image_model(model, options.pooling, options.trained)
    else:
        load = _load_torchvision if library == "torchvision" else _load_timm
        network, mean, std, size = load(model, options.weights, options.trained)
    encoder = PublicImageEncoder(network, mean, std, options.image_size or size).eval()
    _try_out(encoder, f"{library}:{model}", data)
    return encoder


def _load_for_text(library: str, model: str, data: Any, options: Options) -> nn.Module:
    if library != "transformers":
        raise InputError(f"encoder: {library} has no encoders of text; take transformers:NAME_OR_FOLDER.")
    return load_text_model(model, data, options.pooling, options.trained)


def _load_for_speech(library: str, model: str, data: Any, options: Options) -> nn.Module:
    if library != "transformers":
        raise InputError(f"encoder: {library} has no encoders of speech; take transformers:NAME_OR_FOLDER.")
    return load_speech_model(model, data.sample_rate, options.pooling, options.trained)


def public_representation(network: nn.Module) -> Representation:
    """The vectors of what `load_public` gives, and of its layers where it can give those."""
    if isinstance(network, Encoder):
        return representation_of(network, lambda batch, layers: network(batch.inputs, batch.mask, layers=layers))
    encoder: Any = network
    return Representation(lambda batch, layers: vectors_of(encoder.encode(batch, layers)))


class PublicImageEncoder(nn.Module):
    """Images as their authors prepared them, then their network.

    Grey images are given to a network for colour three times over. Images are resized as a whole, where many recipes
    also crop: nothing of a small picture is to be lost.

    Args:
        network: a network from ``(B, C, size, size)`` normalised images to ``(B, D)``.
        mean: mean of each channel, subtracted from images in [0, 1].
        std: standard deviation of each channel.
        size: side in pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: list[float], std: list[float], size: int) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.layers, self.prefix = find_layers(network), vectors_without_place(network)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """``(B, D)`` representations of a batch of images, uint8 or float in [0, 1]."""
        return self.encode(batch, layers=False).pooled

    def encode(self, batch: Batch, layers: bool) -> Encoded:
        """The same with every layer, as far as it is known where these are."""
        images = batch.inputs if batch.inputs.is_floating_point() else batch.inputs / 255
        if images.shape[1] == 1:
            images = images.expand(-1, len(self.mean), -1, -1)
        if images.shape[2:] != (self.size, self.size):
            size = (self.size, self.size)
            images = F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)
        images = (images - self.mean) / self.std
        if isinstance(self.network, PublicImageModel):
            return self.network.encode(images, layers)
        with recorded(self.layers if layers else []) as states:
            vectors = self.network(images)
        return Encoded(vectors[:, None], vectors, None, as_sequences(states, self.prefix))


# A network without its classifier, the mean and standard deviation of its images, and their side.
Prepared = tuple[nn.Module, list[float], list[float], int]


def _load_torchvision(model: str, weights: Path | None, trained: bool) -> Prepared:
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise InputError(f"encoder: torchvision has no classifier '{model}'{nearest(model, known) or '.'}")
    recipe = models.get_model_weights(model).DEFAULT.transforms()
    published = "DEFAULT" if trained and weights is None else None
    network = _fetch(f"torchvision:{model}", lambda: models.get_model(model, weights=published))
    # What enters the last linear layer is the representation: it is the classifier's.
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"encoder: torchvision:{model} has no linear classifier to take off; choose another.")
    owner, _, head = linear[-1].rpartition(".")
    setattr(network.get_submodule(owner), head, nn.Identity())
    if trained and weights is not None:
        _load_weights(network, weights, f"torchvision:{model}", head=linear[-1])
    return network, list(recipe.mean), list(recipe.std), recipe.crop_size[0]


def _load_timm(model: str, weights: Path | None, trained: bool) -> Prepared:
    try:
        import timm
    except ImportError as error:
        raise InputError("encoder: timm is not installed: `uv run --extra timm ssl-zoo ...` brings it.") from error
    known = timm.list_models()
    if model.split(".")[0] not in known and not model.startswith("hf"):  # or a repository on the Hub
        raise InputError(f"encoder: timm has no model '{model}'{nearest(model, known) or '.'}")
    published = trained and weights is None
    network: Any = _fetch(f"timm:{model}", lambda: timm.create_model(model, pretrained=published, num_classes=0))
    if trained and weights is not None:
        _load_weights(network, weights, f"timm:{model}", head=network.pretrained_cfg["classifier"])
    recipe = timm.data.resolve_model_data_config(network)
    return network, list(recipe["mean"]), list(recipe["std"]), recipe["input_size"][-1]


def _fetch(name: str, load: Callable[[], nn.Module]) -> nn.Module:
    """What `load` gives; a download that fails becomes one sentence."""
    try:
        with without_waiting():
            return load()
    except Exception as error:  # each library has errors of its own for a network that is not there
        raise InputError(
            f"encoder: {name} could not be had ({type(error).__name__}): check the network, or give a file with "
            "--weights."
        ) from error


def _load_weights(network: nn.Module, path: Path, name: str, head: Any) -> None:
    """Puts a file's weights into a network that has lost its head.

    Args:
        network: gets the weights.
        path: a state dict in a .safetensors file, or one that `torch.load` reads.
        name: name of the encoder.
        head: name of the module whose weights are not wanted, or several.
    """
    if not path.is_file():
        raise InputError(f"weights: there is no file {path}.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        heads = tuple(f"{each}." for each in ([head] if isinstance(head, str) else head))
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith(heads)})
    except pickle.UnpicklingError as error:  # whose own words advise to run whatever the file holds
        raise InputError(
            f"weights: {path} is damaged, or holds Python objects, which could run any code while they are read: give "
            "a .safetensors file, or a state dict that torch.save wrote."
        ) from error
    except Exception as error:  # a damaged or foreign file fails in many ways
        raise InputError(
            f"weights: {path} does not fit {name} ({type(error).__name__}: {reason_of(error)})."
        ) from error


def _try_out(encoder: PublicImageEncoder, name: str, data: Any) -> None:
    """Two black images show whether the network takes this size and number of channels."""
    images = torch.zeros(2, data.channels, data.image_size, data.image_size)
    try:
        with torch.no_grad():
            vectors = encoder(Batch(images, None, None, torch.arange(2)))
    except Exception as error:  # shapes that do not fit end in as many errors as there are networks
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"encoder: {name} cannot read images of {encoder.size} x {encoder.size} pixels and {data.channels} "
            f"channels ({reason}); leave out image_size, or choose another encoder."
        ) from error
    if vectors.ndim != 2:
        raise InputError(f"encoder: {name} gives no single vector for an image; choose another encoder.")
