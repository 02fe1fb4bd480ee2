"""Offline evaluation of encoders that others have published, beside the runs of this house."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.text.module import TextData
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.labelled import check_choices, count_classes, remarks_on
from ssl_zoo.evaluation.listening import Listener, listen_with
from ssl_zoo.evaluation.probe import PROTOCOL, UNTRAINED, best_device
from ssl_zoo.evaluation.public_encoders import load_public
from ssl_zoo.evaluation.public_transformers import Pooling
from ssl_zoo.evaluation.results import write_results
from ssl_zoo.evaluation.rows import Extracted, Rows, evaluate_rows, extract_parts, probe_words
from ssl_zoo.evaluation.speech import speech_rows
from ssl_zoo.probes.features import raw_inputs

# Images of 224 pixels are large.
BATCH_SIZE = 64
MODALITIES = {ImageData: "image", TextData: "text", AudioData: "audio"}


def probe_public(
    encoder: str,
    data: DataModule,
    weights: Path | None = None,
    image_size: int | None = None,
    pooling: Pooling = "auto",
    labels_per_class: list[int] = [1, 5, 10],  # noqa: B006  # never changed, and --help shows it
    draws: int = 10,
    runs_dir: Path = Path("runs"),
) -> None:
    """Evaluates a published encoder as `ssl-zoo probe` does a run: the same data, split, probes and baselines.

    Its results lie in RUNS_DIR/public/NAME, from where `ssl-zoo compare` takes them up as a row of their own. What such
    an encoder has seen before, and at what cost, is its authors' to say: the test images may have been among it.

    Args:
        encoder: `torchvision:resnet18`, `timm:vit_small_patch16_224`, or `transformers:` and a model's name on the
            Hugging Face Hub or a folder, such as `ssl-zoo export` writes; of speech, wav2vec 2.0 or HuBERT.
        data: what to evaluate it on, with the settings that the runs have; a text encoder brings its own tokenizer.
        weights: a file of weights for an architecture of torchvision or timm (.safetensors, or a state dict of
            PyTorch's); the published ones are fetched when left out.
        image_size: side in pixels that images are resized to; what the weights were trained on when left out.
        pooling: of a model of transformers: `cls` takes the first token, `mean` the mean; `auto` is the class token of
            an image model that has one, and the mean of anything else.
        labels_per_class: labels per class to try, besides all.
        draws: random choices of the labelled examples to average over, the same for every row.
        runs_dir: where runs are kept.
    """
    check_choices(labels_per_class, draws, "probe-public")
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size is {image_size}: it must be at least 1.")
    trained = load_public(encoder, data, weights, image_size, pooling)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = load_public(encoder, data, weights, image_size, pooling, trained=False)
    data.setup("fit")
    data.setup("test")
    classes = count_classes(data, data.source_name)
    label = _label(encoder, weights, image_size, pooling)
    encoders = {label: trained, UNTRAINED: untrained}
    rows, sizes = _speech(encoders, data) if isinstance(data, AudioData) else (_images_or_texts(encoders, data), {})
    results, tasks, kept, remarks = evaluate_rows(rows, classes, labels_per_class, draws)
    if classes:
        remarks = remarks_on(data, labels_per_class) + remarks
        if isinstance(data, TextData):
            results["tf-idf"] = probe_words(data, labels_per_class, draws)
    record = {**_describe(label, trained, data), "remarks": remarks, "rows": results}
    if tasks:
        record |= {"tasks": tasks, "task_sizes": sizes}
    directory = runs_dir / "public" / record["run"]
    directory.mkdir(parents=True, exist_ok=True)
    write_results(directory, record, kept, data)


def _images_or_texts(encoders: dict[str, nn.Module], data: DataModule) -> Rows:
    represents: dict[str, Callable[[Batch], Tensor]] = {**encoders}
    if not isinstance(data, TextData):
        represents["raw inputs"] = raw_inputs
    return {row: partial(_extract, represent, data, row) for row, represent in represents.items()}


def _speech(encoders: dict[str, nn.Module], data: AudioData) -> tuple[Rows, dict[str, dict[str, int]]]:
    """The rows of recordings, and how many labels the tasks of speech have."""
    device = best_device()

    def listener(encoder: nn.Module, row: str) -> Listener:
        return listen_with(encoder, lambda batch: encoder(batch.inputs, batch.mask).pooled.float(), row)

    listeners = {row: listener(encoder.to(device), row) for row, encoder in encoders.items()}
    return speech_rows(data, listeners, device)


def _extract(represent: Callable[[Batch], Tensor], data: DataModule, row: str) -> Extracted:
    device = best_device()
    if isinstance(represent, nn.Module):
        represent.to(device)
    return extract_parts(represent, data, device, BATCH_SIZE, row)


def _label(encoder: str, weights: Path | None, image_size: int | None, pooling: Pooling) -> str:
    """What tells the encoder from others, and from itself with other settings."""
    settings = (
        "" if weights is None else weights.name,
        "" if image_size is None else f"{image_size} px",
        "" if pooling == "auto" else pooling,
    )
    return ", ".join([encoder, *filter(None, settings)])


def _describe(label: str, network: nn.Module, data: DataModule) -> dict[str, Any]:
    """What results.json says besides the rows; there is no training to speak of."""
    # Judged again, an encoder on the same data takes the place of what was found before.
    name = f"{label}-{data.source_name}-{data.split_hash[:8]}"
    return {
        "protocol": PROTOCOL,
        "run": re.sub(r"[^\w.]+", "-", name).strip("-"),
        "experiment": "public",
        "method": "public",
        "encoder": label,
        "modality": next(name for kind, name in MODALITIES.items() if isinstance(data, kind)),
        "seed": None,
        # Poolers have no part in the vectors.
        "parameters": sum(each.numel() for key, each in network.named_parameters() if ".pooler." not in key),
        "data": {
            "source": data.source_name,
            "identity": data.identity,
            "split": data.split_hash,
            "train": len(data.train_set),
            "validation": len(data.validation_set),
            "test": len(data.test_set),
        },
        "budget": {"steps": 0, "samples": 0, "seconds": 0.0},
        "health": {},
    }
