"""Every experiment there is, as a command that takes a fraction of a second: what the contract tests try methods on.

Experiments, methods and encoders are found, none is listed. A method's parts are made `tiny`, and its data are small
ones of its modality.
"""

import importlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml

import ssl_zoo.methods
from ssl_zoo.cli import NAMED_IN_YAML, run
from ssl_zoo.data.text.sources.pairs import PairSource
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.export.torchvision_weights import save_for_torchvision
from ssl_zoo.methods.base import Method
from ssl_zoo.rebuilding import Rebuildable
from tests.contracts.found import concrete
from tests.made import write_images, write_pairs, write_texts, write_waves
from tests.two_processes import TwoProcesses

FOLDER = Path(__file__).parents[2] / "experiments"
SMALL = [
    "--config", str(FOLDER / "smoke.yaml"), "--data.train_size=20",
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_steps=5",
]  # fmt: skip
# By data module. Images need no file: scikit-learn has some.
SMALL_DATA: dict[str, Callable[[], list[str]]] = {
    "AudioData": lambda: ["--data.source=AudioFolder", f"--data.source.root={waves()}"],
    "ImageData": lambda: ["--data.source=null", "--data.image_size=12"],
    "TextData": lambda: ["--data.source=TextFiles", f"--data.source.root={texts()}", *SMALL_TEXTS],
    "colours": lambda: ["--data.source=ImageFolder", f"--data.source.root={coloured()}", "--data.image_size=12"],
    "pairs": lambda: ["--data.source=ParallelTexts", f"--data.source.root={pairs()}", *SMALL_TEXTS],
}
SMALL_TEXTS = ["--data.vocab_size=300", "--data.length=16"]
FEW = 6  # clusters or classes of examples, of which there are twenty
# What a method's training is compared by needs neither.
UNWATCHED = ["--trainer.limit_val_batches=0"]
SAVING = ["--trainer.callbacks=tests.contracts.experiments.SavesOnTheWay"]


class SavesOnTheWay(L.Callback):
    """Saves the weights that training begins with, and a whole checkpoint in the middle of the second epoch."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        directory = trainer.log_dir  # every process asks, as the first one's answer is sent to all
        if trainer.is_global_zero and directory is not None:
            torch.save({"state_dict": pl_module.state_dict()}, Path(directory) / "start.ckpt")

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 3 and (directory := trainer.log_dir) is not None:
            trainer.save_checkpoint(Path(directory) / "middle.ckpt")


@cache
def settings_of(path: Path) -> dict[str, Any]:
    """The settings in a file, for reading only: whoever asks again gets the same ones."""
    return yaml.load(path.read_text(), yaml.CSafeLoader)  # ten times as fast as `safe_load`, and all are read often


def method_of(path: Path) -> str:
    return settings_of(path)["model"]["class_path"]


METHODS = [class_.__name__ for class_ in concrete(Method, ssl_zoo.methods)]
# Overlays have no method.
EXPERIMENTS = sorted(path for path in FOLDER.rglob("*.yaml") if "model" in settings_of(path))
# Of a method's experiments the one with the shortest name; speech takes longest, images are cheapest, and those on own
# data are copies.
OWN = {
    method_of(path): path
    for path in sorted(
        EXPERIMENTS,
        key=lambda path: (path.parent.name in ("audio", "own"), path.parent.name == "text", len(path.stem)),
        reverse=True,
    )
}


# The names are what `tests/workers.py` knows them by.
EACH_EXPERIMENT = [pytest.param(path, id=str(path.relative_to(FOLDER))) for path in EXPERIMENTS]
EACH_METHOD = [pytest.param(path, id=name) for name, path in sorted(OWN.items())]


@cache
def waves() -> Path:
    """A folder of made recordings, the same for all tests of this process and for processes that it starts."""
    folder = Path(os.environ["SSL_ZOO_CACHE"]) / "made" / "waves"
    return folder if folder.exists() else write_waves(folder)


@cache
def coloured() -> Path:
    """A folder of made images in colour, as above."""
    folder = Path(os.environ["SSL_ZOO_CACHE"]) / "made" / "coloured"
    return folder if folder.exists() else write_images(folder)


@cache
def texts() -> Path:
    """A file of made texts, as above."""
    path = Path(os.environ["SSL_ZOO_CACHE"]) / "made" / "texts.jsonl"
    return path if path.exists() else write_texts(path, 60)


@cache
def pairs() -> Path:
    """A file of made texts with their translations, as above."""
    path = Path(os.environ["SSL_ZOO_CACHE"]) / "made" / "pairs.tsv"
    return path if path.exists() else write_pairs(path)


@cache
def weights() -> Path:
    """A folder of weights to continue from, as `ssl-zoo export` writes them: none that was published is embedded."""
    folder = Path(os.environ["SSL_ZOO_CACHE"]) / "made" / "weights"
    if not folder.exists():
        folder.mkdir(parents=True)
        save_for_torchvision(ResNet(10, 8, channels=1), folder)
    return folder


def small(path: Path, runs: Path) -> list[str]:
    """The command line of an experiment on small data with tiny networks."""
    settings = settings_of(path)
    arguments, data = settings["model"]["init_args"], settings["data"]
    kind = data["class_path"].split(".")[-1]
    options = SMALL_DATA["pairs" if of_pairs(data) else "colours" if in_colour(data) else kind]()
    if kind == "AudioData" and data["init_args"].get("seconds_per_batch") is None:
        options.append("--data.crop_seconds=0.5")
    if "max_new_tokens" in arguments:
        options.append("--model.max_new_tokens=4")
    options += [f"--model.{name}={FEW}" for name in ("classes", "clusters") if isinstance(arguments.get(name), int)]
    for name, part in arguments.items():
        if isinstance(part, dict) and "pretrained" in part.get("init_args", {}):
            options.append(f"--model.{name}.pretrained={weights()}")  # which say how large it is
        else:
            options += tiny(f"model.{name}", part)
    return ["fit", "--config", str(path), *SMALL, *options, "--runs_dir", str(runs)]


def in_colour(data: dict[str, Any]) -> bool:
    """Whether an experiment is about images in colour, as its source says before anything is read."""
    source = data["init_args"].get("source")
    name = source if isinstance(source, str) else (source or {}).get("class_path")
    return name is not None and getattr(class_of(name), "channels", 1) == 3


def of_pairs(data: dict[str, Any]) -> bool:
    """Whether an experiment's texts come with their translations."""
    source = data["init_args"].get("source")
    return isinstance(source, dict) and issubclass(class_of(source["class_path"]), PairSource)


def tiny(place: str, part: Any) -> Iterator[str]:
    """Options that make a part of a method, and what it has for parts, as small as they can be."""
    if not isinstance(part, dict) or "class_path" not in part:
        return
    for name, value in class_of(part["class_path"]).tiny().items():
        own = part.get("init_args", {}).get(name)
        if isinstance(own, dict):
            yield from tiny(f"{place}.{name}", own)
        else:
            yield f"--{place}.{name}={json.dumps(value.settings if isinstance(value, Rebuildable) else value)}"


@cache
def class_of(path: str) -> type[Rebuildable]:
    """The class that YAML calls by its name, with or without its module."""
    rooms = [importlib.import_module(name) for name in NAMED_IN_YAML]
    by_name = {class_.__name__: class_ for room in rooms for class_ in concrete(Rebuildable, room)}
    return by_name[path.split(".")[-1]]


def fit(path: Path, runs: Path, *options: str) -> Path:
    """Runs an experiment small; returns its run directory."""
    before = set(runs.glob("*/*"))
    run([*small(path, runs), *options])
    (created,) = set(runs.glob("*/*")) - before
    return created


def fit_as_rank(path: Path, runs: Path, *options: str) -> None:
    """The part of one of two processes in a run of both."""
    run([*small(path, runs), "--trainer.strategy=ddp", "--trainer.devices=2", *options])


def fit_on_two(two_processes: TwoProcesses, path: Path, runs: Path, *options: str) -> Path:
    """Runs an experiment small on two processes; returns its run directory."""
    small(path, runs)  # writes the data, once for both
    two_processes(fit_as_rank, path, runs, *options)
    (created,) = runs.glob("*/*")
    return created


def checkpoint(directory: Path, name: str = "checkpoints/last.ckpt") -> dict[str, Any]:
    return torch.load(directory / name, weights_only=True)


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
