"""Published models of the transformers library, made to give one vector for an image, a text or a recording."""

from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.tokenizer import TRAINERS
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.errors import InputError

# `auto` is the class token of an image model that has one, and the mean otherwise.
Pooling = Literal["auto", "mean", "cls"]
CLASS_TOKENS = ("cls_token", "class_embedding")


def load_image_model(source: str, pooling: Pooling, trained: bool) -> tuple[nn.Module, list[float], list[float], int]:
    """A model of images.

    Args:
        source: the model's name on the Hugging Face Hub, or a folder.
        pooling: how its last hidden states are pooled.
        trained: False draws weights at random.

    Returns:
        A network from ``(B, C, size, size)`` to ``(B, D)``, the mean and standard deviation of its images, their side.

    Raises:
        InputError: it cannot be read, or is no model of images.
    """
    from transformers import AutoImageProcessor

    model = _load(source, trained, "image", "pixel_values")
    processor: Any = _read(source, lambda: AutoImageProcessor.from_pretrained(source))
    side = processor.crop_size if getattr(processor, "do_center_crop", False) else processor.size
    size = next(side[name] for name in ("height", "shortest_edge", "longest_edge") if side.get(name))
    return PublicImageModel(model, pooling), list(processor.image_mean), list(processor.image_std), size


def load_text_model(source: str, data: TextData, pooling: Pooling, trained: bool) -> nn.Module:
    """A model of text; the data takes its tokenizer unless it was given a published one.

    Args:
        source: the model's name on the Hugging Face Hub, or a folder.
        data: not read yet.
        pooling: how its last hidden states are pooled; `cls` is the first token.
        trained: False draws weights at random.

    Raises:
        InputError: it cannot be read, or is no model of text, or the data has another tokenizer.
    """
    model = _load(source, trained, "text", "input_ids")
    if data.tokenizer in TRAINERS:  # made of the data itself, which no published model can know
        data.tokenizer = source
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    rows, size = model.get_input_embeddings().num_embeddings, data.vocabulary["size"]
    if size > rows:
        raise InputError(
            f"encoder: {source} knows {rows} tokens but the data's tokenizer {data.tokenizer} has {size}; leave out "
            "data.tokenizer to take the encoder's own."
        )
    return PublicTextModel(model, pooling)


def load_speech_model(source: str, sample_rate: int, pooling: Pooling, trained: bool) -> Wav2Vec2Encoder:
    """A wav2vec 2.0 or HuBERT model.

    Args:
        source: the model's name on the Hugging Face Hub, or a folder.
        sample_rate: samples per second of the data.
        pooling: always the mean over time.
        trained: False draws weights at random.

    Raises:
        InputError: it cannot be read or is another model, or another pooling is asked for.
    """
    if pooling == "cls":
        raise InputError("pooling: a model of speech has no class token; take mean.")
    if trained:
        return Wav2Vec2Encoder(pretrained=source, sample_rate=sample_rate)
    from transformers import AutoConfig, AutoModel

    with TemporaryDirectory() as folder:
        AutoModel.from_config(_read(source, lambda: AutoConfig.from_pretrained(source))).save_pretrained(folder)
        return Wav2Vec2Encoder(pretrained=folder, sample_rate=sample_rate)


class PublicImageModel(nn.Module):
    """A model's last hidden states as one vector.

    Args:
        model: takes `pixel_values`.
        pooling: how its last hidden states are pooled; feature maps always by their mean.
    """

    def __init__(self, model: Any, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        names = [name for name, _ in model.named_parameters()]
        # What stands before the patches is no part of the mean.
        self.prefix = int(any(name.endswith(CLASS_TOKENS) for name in names))
        if self.prefix:
            self.prefix += getattr(model.config, "num_register_tokens", 0)
        elif pooling == "cls":
            raise InputError(f"pooling: {type(model).__name__} has no class token; take mean.")
        self.first_token = bool(self.prefix) and pooling != "mean"

    def forward(self, images: Tensor) -> Tensor:
        """``(B, D)`` of normalised images ``(B, C, H, W)``."""
        return self.encode(images, layers=False).pooled

    def encode(self, images: Tensor, layers: bool) -> Encoded:
        """The same with every layer, without what stands before the patches."""
        found = self.model(pixel_values=images, output_hidden_states=layers)
        every = (found.last_hidden_state, *((found.hidden_states or ()) if layers else ()))
        states, *given = (each.flatten(2).transpose(1, 2) if each.ndim == 4 else each for each in every)
        patches = states[:, self.prefix :]
        # Of a feature map the mean is taken as a map's, which adds in another order.
        mean = every[0].mean((2, 3)) if every[0].ndim == 4 else patches.mean(1)
        pooled = states[:, 0] if self.first_token else mean
        return Encoded(patches, pooled, None, tuple(each[:, self.prefix :] for each in given))


class PublicTextModel(nn.Module):
    """A model's last hidden states as one vector.

    Args:
        model: takes `input_ids` and `attention_mask`.
        pooling: `cls` takes the first token, anything else the mean over real ones.
    """

    def __init__(self, model: Any, pooling: Pooling) -> None:
        super().__init__()
        self.model, self.first_token = model, pooling == "cls"

    def forward(self, batch: Batch) -> Tensor:
        """``(B, D)`` of single documents."""
        return self.encode(batch, layers=False).pooled

    def encode(self, batch: Batch, layers: bool) -> Encoded:
        """The same with every layer."""
        real = torch.ones_like(batch.inputs) if batch.mask is None else batch.mask.long()
        found = self.model(input_ids=batch.inputs, attention_mask=real, output_hidden_states=layers)
        states = found.last_hidden_state
        mean = (states * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return Encoded(
            states, states[:, 0] if self.first_token else mean, batch.mask, tuple(found.hidden_states) if layers else ()
        )


def _load(source: str, trained: bool, noun: str, inputs: str) -> Any:
    """A model in float32, pretrained or drawn anew.

    Args:
        source: name or folder.
        trained: whether its weights are wanted.
        noun: what it should read.
        inputs: the name of its main input, by which it is recognized.
    """
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it reports heads that the file has, or lacks, and nobody asks for
    try:
        if trained:
            model, report = _read(
                source, lambda: AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
            )
            # Poolers are made for a task; the last hidden states do not pass through them.
            missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
            if missing:
                raise InputError(f"encoder: transformers:{source} has no weights for {missing[0]}; get it anew.")
        else:
            model = AutoModel.from_config(_read(source, lambda: AutoConfig.from_pretrained(source)))
    finally:
        logging.set_verbosity(level)
    if model.main_input_name != inputs or getattr(model.config, "vision_config", None) is not None:
        raise InputError(f"encoder: transformers:{source} is a {model.config.model_type} model, which reads no {noun}.")
    return model


def _read(source: str, load: Any) -> Any:
    try:
        return load()
    except Exception as error:  # the network, the hub and a stranger's files fail in many ways
        raise InputError(
            f"encoder: transformers:{source} could not be had ({type(error).__name__}): check the name and the "
            "network, or give a folder that `save_pretrained` wrote."
        ) from error
