"""Offline evaluation of encoders that others have published, beside the runs of this house."""

import re
from pathlib import Path

import torch
from torch import nn

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.evaluate import Choices, Extraction, evaluate
from ssl_zoo.evaluation.labelled import check_choices, count_classes
from ssl_zoo.evaluation.probe import best_device
from ssl_zoo.evaluation.public_encoders import load_public, public_representation
from ssl_zoo.evaluation.public_transformers import Pooling
from ssl_zoo.evaluation.results import found_by, parts_of, write_results
from ssl_zoo.evaluation.rows import Evaluated
from ssl_zoo.runs.results import PROTOCOL, UNTRAINED, Budget, Result
from ssl_zoo.writable import check_writable

# Images of 224 pixels are large.
BATCH_SIZE = 64


def probe_public(
    encoder: str,
    data: DataModule,
    weights: Path | None = None,
    image_size: int | None = None,
    pooling: Pooling = "auto",
    labels_per_class: list[int] = [1, 5, 10],  # noqa: B006  # never changed, and --help shows it
    draws: int = 10,
    layers: bool = True,
    runs_dir: Path = Path("runs"),
) -> None:
    """Evaluates a published encoder as `ssl-zoo probe` does a run: the same data, split, probes and baselines.

    Its results lie in RUNS_DIR/public/NAME, from where `ssl-zoo compare` takes them up as a row of their own. What such
    an encoder was trained on, and at what cost, only its authors know: it may have seen the test images.

    Args:
        encoder: `torchvision:resnet18`, `timm:vit_small_patch16_224`, or `transformers:` and a model's name on the
            Hugging Face Hub or a folder, such as `ssl-zoo export` writes; of speech, wav2vec 2.0 or HuBERT.
        data: what to evaluate it on, with the settings that the runs have; a text encoder brings its own tokenizer.
        weights: a file of weights for an architecture of torchvision or timm (.safetensors, or a state dict of
            PyTorch's); the published ones are fetched when left out.
        image_size: side in pixels that images are resized to; what the weights were trained on when left out.
        pooling: how a model of transformers is pooled: `cls` takes the first token, `mean` the mean; `auto` is the
            class token of an image model that has one, and the mean of anything else.
        labels_per_class: labels per class to try, besides all.
        draws: random choices of the labelled examples to average over, the same for every row.
        layers: also probe every layer, of 10,000 examples of each part at most: the stages of a ResNet, the blocks of a
            transformer; networks that keep their layers elsewhere are probed as a whole.
        runs_dir: where runs are kept.
    """
    check_choices(labels_per_class, draws, "probe-public")
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size is {image_size}: it must be at least 1.")
    check_writable(runs_dir, "--runs_dir")
    trained = load_public(encoder, data, weights, image_size, pooling)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = load_public(encoder, data, weights, image_size, pooling, trained=False)
    data.setup("fit")
    data.setup("test")
    classes = count_classes(data, data.source_name)
    label = _label(encoder, weights, image_size, pooling)
    encoders = {label: trained, UNTRAINED: untrained}
    device = best_device()
    evaluated = evaluate(
        data,
        {row: public_representation(network.to(device)) for row, network in encoders.items()},
        classes,
        Choices(labels_per_class, draws, layers),
        Extraction(device, BATCH_SIZE, announced=True),
    )
    result = _describe(label, trained, data, evaluated)
    directory = runs_dir / result.experiment / result.run
    directory.mkdir(parents=True, exist_ok=True)
    write_results(directory, result, evaluated.kept, data)


def _label(encoder: str, weights: Path | None, image_size: int | None, pooling: Pooling) -> str:
    """A name that no other encoder has, nor this one with other settings."""
    settings = (
        "" if weights is None else weights.name,
        "" if image_size is None else f"{image_size} px",
        "" if pooling == "auto" else pooling,
    )
    return ", ".join([encoder, *filter(None, settings)])


def _describe(label: str, network: nn.Module, data: DataModule, evaluated: Evaluated) -> Result:
    """There is no training to speak of."""
    # Evaluated again, an encoder on the same data takes the place of what was found before.
    name = f"{label}-{data.source_name}-{data.split_hash[:8]}"
    return Result(
        protocol=PROTOCOL,
        run=re.sub(r"[^\w.]+", "-", name).strip("-"),
        experiment="public",
        method="public",
        encoder=label,
        modality=data.modality,
        seed=None,
        pretrained="",
        # Poolers have no part in the vectors.
        parameters=sum(each.numel() for key, each in network.named_parameters() if ".pooler." not in key),
        data=parts_of(data),
        budget=Budget(),
        chance_loss=None,
        health={},
        remarks=evaluated.remarks,
        **found_by(evaluated),
    )
