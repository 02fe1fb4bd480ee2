"""A folder that the transformers library loads by `from_pretrained`: model, and what prepares its inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.front_ends import WaveConvolutions
from ssl_zoo.encoders.image import ViT
from ssl_zoo.encoders.published_vit import whole_state
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.export.loading import Loading, statistics

_IMAGES = """
import torch
from transformers import AutoImageProcessor, AutoModel

folder = "."  # where this card lies
processor = AutoImageProcessor.from_pretrained(folder)
model = AutoModel.from_pretrained(folder{options}).eval()


@torch.no_grad()
def encode(images):
    pixels = processor(list(images), input_data_format="channels_first", return_tensors="pt")["pixel_values"]
    tokens = model(pixels).last_hidden_state
    return {pooled}, tokens[:, {prefix}:]
"""

_TEXTS = """
import torch
from transformers import AutoModel, AutoTokenizer

folder = "."  # where this card lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder{options}).eval()


@torch.no_grad()
def encode(texts):
    whole = tokenizer(texts, padding=True, return_tensors="pt", verbose=False)
    batch = {{name: each[:, : tokenizer.model_max_length] for name, each in whole.items()}}
    sequence = model(**batch).last_hidden_state
    real = batch["attention_mask"][..., None]
    return {pooled}, sequence
"""

_RECORDINGS = """
import torch
from transformers import AutoFeatureExtractor, AutoModel

folder = "."  # where this card lies
extractor = AutoFeatureExtractor.from_pretrained(folder)
model = AutoModel.from_pretrained(folder).eval()


@torch.no_grad()
def encode(recordings):
    inputs = [extractor(each, sampling_rate={rate}, return_tensors="pt")["input_values"] for each in recordings]
    sequences = [model(each).last_hidden_state[0] for each in inputs]
    return torch.stack([each.mean(0) for each in sequences]), torch.nn.utils.rnn.pad_sequence(sequences, True)
"""


@contextmanager
def without_bars() -> Iterator[None]:
    """Within, the library draws no bars of files that are written in an instant."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def save_vit(encoder: ViT, folder: Path) -> Loading:
    """Writes the model, and an image processor that resizes and normalises as the encoder does.

    Args:
        encoder: an encoder on the CPU.
        folder: exists.
    """
    from transformers import ViTImageProcessor

    config = encoder.model.config
    # The processor wants a number for every channel.
    mean, std = (each * (config.num_channels if len(each) == 1 else 1) for each in statistics(encoder.normalize))
    assert isinstance(config.image_size, int), "ours are square"
    size = {"height": config.image_size, "width": config.image_size}
    encoder.model.save_pretrained(folder, state_dict=whole_state(encoder.model))
    ViTImageProcessor(size=size, image_mean=mean, image_std=std, rescale_factor=1 / 255).save_pretrained(folder)
    plain, prefix = config.model_type == "vit", encoder.prefix
    pooled = "tokens[:, 0]" if encoder.pooling == "cls" else f"tokens[:, {prefix}:].mean(1)"
    asking = " and `interpolate_pos_encoding=True` for the model" if plain else ""  # DINOv2 does without being asked
    text = (
        f"`images` are uint8 `(B, {config.num_channels}, H, W)`, resized to {config.image_size} pixels a side. Another "
        f"size needs `do_resize=False` for the processor{asking}."
    )
    options = ", add_pooling_layer=False" if plain else ""
    return Loading("transformers", text, _IMAGES.format(pooled=pooled, prefix=prefix, options=options).strip())


def save_text_encoder(encoder: TextEncoder, data: DataModule, folder: Path) -> Loading:
    """Writes the model, and the tokenizer of the data that it was trained on.

    Args:
        encoder: an encoder on the CPU.
        data: what the run was trained on, set up.
        folder: exists.
    """
    tokens = data.tokens()
    assert tokens is not None, "what encoders of text read are tokens"
    encoder.model.save_pretrained(folder)
    segments = encoder.model.config.model_type in ("bert", "albert")
    save_tokenizer(tokens.tokenizer, tokens.length, segments, folder)
    pooled = "sequence[:, 0]" if encoder.pooling == "cls" else "(sequence * real).sum(1) / real.sum(1)"
    options = ", add_pooling_layer=False" if segments else ""
    text = (
        f"Texts of more than {tokens.length} tokens, the length that the encoder was trained on, are cut. The "
        "tokenizer is the run's own, and closes a text as the training data did; one that is cut is not closed."
    )
    return Loading("transformers", text, _TEXTS.format(pooled=pooled, options=options).strip())


def save_wav2vec2(encoder: Wav2Vec2Encoder, front_end: WaveConvolutions, folder: Path) -> Loading:
    """Writes the model, and a feature extractor that normalises waveforms as the front end does.

    Args:
        encoder: an encoder on the CPU.
        front_end: the encoder's front end.
        folder: exists.
    """
    from transformers import Wav2Vec2FeatureExtractor

    encoder.save_pretrained(folder)
    rate = encoder.sample_rate
    Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=front_end.normalize).save_pretrained(folder)
    text = (
        f"`recordings` are NumPy arrays `(S,)` at {rate} samples a second, each of at least "
        f"{front_end.receptive_field}. They are encoded one at a time, so that none is padded."
    )
    return Loading("transformers", text, _RECORDINGS.format(rate=rate).strip())


def save_tokenizer(tokenizer: TextTokenizer, length: int, segments: bool, folder: Path) -> None:
    """Writes tokenizer.json and what `AutoTokenizer` wants besides; a text gets the ids that it has in training.

    Args:
        tokenizer: tokenizer of the data.
        length: the most ids of a text.
        segments: the model distinguishes a first text from a second.
        folder: exists.
    """
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer.backend.to_str())
    ids = {role: token for role, token in tokenizer.special.items() if isinstance(token, int)}
    names = {role: backend.id_to_token(token) for role, token in ids.items()}
    begin, end = names.get("begin"), names["end"]
    frame = [name for name in (begin, end) if name is not None]
    backend.post_processor = processors.TemplateProcessing(
        single=[*frame[:-1], "$A", end],
        pair=[*frame[:-1], "$A", end, "$B:1", f"{end}:1"],
        special_tokens=[(name, backend.token_to_id(name)) for name in frame],
    )
    ready = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=length,
        model_input_names=["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"],
        padding_side="right",
        # A text that speaks about "[SEP]" has no token [SEP].
        split_special_tokens=True,
        pad_token=names["pad"],
        unk_token=names.get("unknown"),
        cls_token=begin,
        bos_token=begin,
        sep_token=end,
        eos_token=end,
        mask_token=names.get("mask"),
    )
    ready.save_pretrained(folder)
