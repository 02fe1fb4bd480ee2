"""Every experiment on a GPU next to a CPU: the same weights, batch and random numbers must give the same loss.

Two tolerances, each relative to the loss and, as some losses begin at zero, absolute:

- in float32, TF32 off, both devices round alike and add in another order. A rounding error is 6e-8, sums have up to a
  million terms, and batch norm and ReLUs magnify: 1e-3.
- in bfloat16 a number has 8 bits, so that each is off by up to 0.4 %, and a network's errors add up like a random walk
  over some tens of layers: 5 %, and 0.02.

Dropout is off, as its numbers come from the device's own generator; all others are functions of (seed, step, example).
"""

import copy
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from PIL import Image

from ssl_zoo import cli
from ssl_zoo.batch import Batch
from ssl_zoo.data.text.sources.pairs import PairSource
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import make_optimizer
from ssl_zoo.parts.coded_frames import FrozenCodes
from ssl_zoo.probes.features import to_device
from ssl_zoo.training_cli import ZooCLI, fit_settings

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
TOLERANCES = {"float32": (1e-3, 1e-3), "bfloat16": (5e-2, 2e-2)}
STEPS = 3


class Built(ZooCLI):
    """The command line up to where training would begin: method and data as a run has them."""

    def _run_subcommand(self, subcommand: str) -> None: ...


def check_all(smoke: bool) -> Iterator[dict[str, Any]]:
    """One row for every experiment that is found."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    cli.import_named()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SSL_ZOO_CACHE"] = str(Path(folder) / "cache")
        data = make_data(Path(folder))
        for path in sorted(EXPERIMENTS.rglob("*.yaml")):
            settings = yaml.safe_load(path.read_text())
            if "model" not in settings:  # an overlay
                continue
            began, row = time.perf_counter(), {"name": str(path.relative_to(EXPERIMENTS))}
            try:
                row |= check(options_of(path, settings, data, smoke), torch.device("cpu" if smoke else "cuda"))
            except Exception as error:  # goes into the table; the other experiments run all the same
                row["error"] = f"{type(error).__name__}: {error}"
            yield row | {"seconds": time.perf_counter() - began}


def options_of(path: Path, settings: dict[str, Any], data: dict[str, list[str]], smoke: bool) -> list[str]:
    """The command line of an experiment on small data of its modality, without dropout."""
    options = ["--config", str(path), "--config", str(EXPERIMENTS / "smoke.yaml"), "--trainer.accelerator=cpu"]
    pairs = {each.__name__ for each in PairSource.__subclasses__()}
    source = settings["data"]["init_args"].get("source")
    kind = "pairs" if isinstance(source, dict) and source["class_path"] in pairs else settings["data"]["class_path"]
    options += ["--trainer.precision=32-true", "--data.train_size=24", *data[kind]]
    arguments = settings["model"]["init_args"]
    if "views" in arguments and settings["data"]["class_path"] == "AudioData":
        options.append("--model.views.seconds=0.4")
    if settings["data"]["init_args"].get("seconds_per_batch") is None and "AudioData" in settings["data"]["class_path"]:
        options.append("--data.crop_seconds=0.5")
    encoder = arguments["encoder"].get("init_args", {})
    if "pretrained" in encoder:
        options.append("--model.encoder.pretrained=null")  # weights of another run, which a new machine has not
    if encoder.get("front_end", {}).get("class_path") == "FrozenCodes":
        options.append(f"--model.encoder.front_end.pretrained={json.dumps(FrozenCodes.tiny()['pretrained'])}")
    if smoke:
        for network in ("encoder", "decoder"):
            width = arguments.get(network, {}).get("init_args", {}).get("width", 0)
            options += [f"--model.{network}.width=16"] if width > 16 else []
    return [*options, *(f"--{name}=0" for name in dropouts(fit_settings(options)["model"], "model"))]


def dropouts(settings: Any, name: str) -> Iterator[str]:
    """Names of all rates of dropout among the settings that are not zero."""
    for key, value in settings.items() if isinstance(settings, dict) else ():
        below = name if key == "init_args" else f"{name}.{key}"
        if "dropout" in key and isinstance(value, float) and value > 0:
            yield below
        yield from dropouts(value, below)


def check(options: list[str], device: torch.device) -> dict[str, Any]:
    """Losses on both devices, in both precisions, and after some steps of training."""
    with tempfile.TemporaryDirectory() as runs:
        built = Built(["fit", *options, "--runs_dir", runs, "--trainer.enable_progress_bar=false"])
    model, data = built.model.train(), built.datamodule
    data.setup()
    batch = next(iter(data.train_dataloader()))._replace(labels=None)
    row: dict[str, Any] = {"method": type(model).__name__, "CPU float32": loss_of(model, batch, torch.device("cpu"))}
    faults = []
    for precision, (relative, absolute) in TOLERANCES.items():
        row[precision] = loss_of(model, batch, device, low=precision == "bfloat16")
        allowed = absolute + relative * abs(row["CPU float32"])
        if not abs(row[precision] - row["CPU float32"]) <= allowed:  # not finite neither
            faults.append(f"{precision}: {row[precision]:.6g}, more than {allowed:.2g} from {row['CPU float32']:.6g}")
    row[f"after {STEPS} steps"] = train(copy.deepcopy(model).to(device), to_device(batch, device))
    if not np.isfinite(row[f"after {STEPS} steps"]):
        faults.append("the loss is not finite after training")
    return row | ({"error": "; ".join(faults)} if faults else {})


def loss_of(model: Method, batch: Batch, device: torch.device, low: bool = False) -> float:
    """The loss of a copy, so that running statistics, queues and teachers stay as they were."""
    model = copy.deepcopy(model).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        return float(model.losses(to_device(batch, device))["loss"].detach())


def train(model: Method, batch: Batch) -> float:
    """The loss after a few steps in bfloat16."""
    optimizer = make_optimizer(model.optimizer, model)
    for step in range(STEPS + 1):
        with torch.autocast(batch.inputs.device.type, torch.bfloat16):
            loss = model.losses(batch)["loss"]
        if step < STEPS:
            optimizer.zero_grad()
            loss.backward()
            model.on_after_backward()
            optimizer.step()
            model.after_step()
    return float(loss.detach())


def make_data(folder: Path) -> dict[str, list[str]]:
    """Small data by data module, and `pairs` of texts: options that choose it."""
    random = np.random.default_rng(0)
    for number in range(40):
        kind = str(number % 2)
        for name in ("images", "waves"):
            (folder / name / kind).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / kind / f"{number}.png")
        tone = 0.3 * np.sin(2 * np.pi * (220 + 220 * (number % 2)) * np.arange(12800) / 16000)
        soundfile.write(folder / "waves" / kind / f"{number}.wav", tone + 0.02 * random.standard_normal(12800), 16000)
    words = "river engine sparrow flows runs sings slowly today again under over a".split()
    lines = [json.dumps({"text": " ".join(random.choice(words, 30)), "label": str(number % 2)}) for number in range(80)]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    pairs = ["\t".join(" ".join(random.choice(words, 10)) for _ in range(2)) for _ in range(80)]
    (folder / "pairs.tsv").write_text("\n".join(pairs))
    small_texts = ["--data.vocab_size=300", "--data.length=32"]
    return {
        "ImageData": ["--data.source=ImageFolder", f"--data.source.root={folder / 'images'}", "--data.image_size=32"],
        "AudioData": ["--data.source=AudioFolder", f"--data.source.root={folder / 'waves'}"],
        "TextData": [
            "--data.source=TextFiles", f"--data.source.root={folder / 'texts.jsonl'}", *small_texts,
        ],
        "pairs": ["--data.source=ParallelTexts", f"--data.source.root={folder / 'pairs.tsv'}", *small_texts],
    }  # fmt: skip
