"""What every method owes its users, tried on every experiment: files and methods are found, none is listed.

Every experiment runs through the command line on small pieces of its modality's embedded data.
"""

import importlib
import json
import os
import pkgutil
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import soundfile
import torch
import yaml
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from PIL import Image

import ssl_zoo.methods
from ssl_zoo.cli import run
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.export.torchvision_weights import save_for_torchvision
from ssl_zoo.methods.base import Method
from ssl_zoo.runs.run import rebuild

FOLDER = Path(__file__).parents[2] / "experiments"
OVERLAYS = {"smoke.yaml", "gpu.yaml", "wandb.yaml"}
EXPERIMENTS = sorted(path for path in FOLDER.rglob("*.yaml") if path.name not in OVERLAYS)
SMALL = [
    "--config", str(FOLDER / "smoke.yaml"), "--data.train_size=20",
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_steps=5",
]  # fmt: skip
SMALL_DATA = {
    "AudioData": ["--data.source=AudioFolder", "--data.source.root={waves}"],
    "ImageData": ["--data.source=null", "--data.image_size=12"],
    "TextData": ["--data.source=TextFiles", "--data.source.root={texts}", "--data.vocab_size=300", "--data.length=16"],
}

SAVING = [
    "--trainer.callbacks=ModelCheckpoint",
    "--trainer.callbacks.every_n_train_steps=3",
    "--trainer.callbacks.save_top_k=-1",
    "--trainer.callbacks.filename=middle-{step}",
]


def small(path: Path, runs: Path) -> list[str]:
    """The command line of an experiment on small data."""
    settings = yaml.safe_load(path.read_text())
    kind = settings["data"]["class_path"].split(".")[-1]
    arguments = settings["model"]["init_args"]
    places = {"texts": write_texts, "waves": write_waves}
    options = [
        option.format(**{name: write(runs.parent) for name, write in places.items() if f"{{{name}}}" in option})
        for option in SMALL_DATA[kind]
    ]
    if kind == "AudioData" and settings["data"]["init_args"].get("seconds_per_batch") is None:
        options.append("--data.crop_seconds=0.5")
        if "views" in arguments:
            options.append("--model.views.seconds=0.4")
    if "max_new_tokens" in arguments:
        options.append("--model.max_new_tokens=4")
    if "pretrained" in arguments["encoder"]["init_args"]:
        options.append(f"--model.encoder.pretrained={write_weights(runs.parent)}")
    for network in ("encoder", "decoder"):  # wide ones take long and show nothing more
        if arguments.get(network, {}).get("init_args", {}).get("width", 0) > 16:
            options.append(f"--model.{network}.width=16")
    return ["fit", "--config", str(path), *SMALL, *options, "--runs_dir", str(runs)]


def write_texts(folder: Path) -> Path:
    """A file of labelled sentences: no text with labels is embedded."""
    path = folder / "texts.jsonl"
    if not path.exists():
        subjects, words = ("river", "engine", "sparrow"), "flows runs sings slowly today again under over the a".split()
        lines = []
        for number in range(60):
            chosen = np.random.default_rng(number).choice(words, 9)
            lines.append({"text": " ".join([subjects[number % 3], *chosen]), "label": subjects[number % 3]})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, lines)))
    return path


def write_weights(folder: Path) -> Path:
    """Weights to continue from, as `ssl-zoo export` writes them: none that was published is embedded."""
    path = folder / "weights"
    if not path.exists():
        path.mkdir(parents=True)
        save_for_torchvision(ResNet(10, 8, channels=1), path)
    return path


def write_waves(folder: Path) -> Path:
    """A folder of noisy tones of 0.4 to 0.8 seconds, of three classes: no sound is embedded."""
    top = folder / "waves"
    if not top.exists():
        for number in range(48):
            random = np.random.default_rng(number)
            time = np.arange(random.integers(6400, 12800)) / 16000
            tone = 0.3 * np.sin(2 * np.pi * (200 * 2 ** (number % 3)) * (1 + 0.1 * random.random()) * time)
            path = top / str(number % 3) / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, tone + 0.02 * random.standard_normal(len(time)), 16000)
    return top


def fit(path: Path, runs: Path, *options: str) -> Path:
    """Runs an experiment small; returns its run directory."""
    before = set(runs.glob("*/*"))
    run([*small(path, runs), *options])
    (created,) = set(runs.glob("*/*")) - before
    return created


def fit_as_rank(rank: int, port: int, path: Path, runs: Path, *options: str) -> None:
    """One of the two processes that a launcher on this machine would start."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank))
    parallel = ["--trainer.strategy=ddp", "--trainer.devices=2"]
    run([*small(path, runs), *parallel, *options])


def fit_on_two(path: Path, runs: Path, *options: str) -> Path:
    """Runs an experiment small on two processes; returns its run directory."""
    small(path, runs)  # writes the data, once for both
    arguments = (find_free_network_port(), path, runs, *options)
    torch.multiprocessing.start_processes(fit_as_rank, arguments, nprocs=2, start_method="forkserver")
    (created,) = runs.glob("*/*")
    return created


def checkpoint(directory: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(directory / "checkpoints" / name, weights_only=True)


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


def weights(directory: Path) -> torch.Tensor:
    """All floating-point weights and statistics in one vector."""
    values = checkpoint(directory)["state_dict"].values()
    return torch.cat([value.double().flatten() for value in values if value.is_floating_point()])


def methods() -> set[str]:
    for module in pkgutil.walk_packages(ssl_zoo.methods.__path__, "ssl_zoo.methods."):
        importlib.import_module(module.name)
    waiting, found = [Method], set()
    while waiting:
        method = waiting.pop()
        waiting.extend(method.__subclasses__())
        if method is not Method and method.__module__.startswith("ssl_zoo."):
            found.add(method.__name__)
    return found


def test_every_method_has_an_experiment():
    used = {yaml.safe_load(path.read_text())["model"]["class_path"] for path in EXPERIMENTS}
    assert used == methods()


@pytest.fixture(scope="module", params=EXPERIMENTS, ids=lambda path: str(path.relative_to(FOLDER)))
def reference(request, tmp_path_factory) -> tuple[Path, Path]:
    """An experiment and its finished run, with a checkpoint in the middle of its second epoch."""
    runs = tmp_path_factory.mktemp("runs")
    return request.param, fit(request.param, runs, *SAVING)


def test_a_run_leaves_its_settings_metrics_and_checkpoint(reference):
    path, directory = reference
    settings = yaml.safe_load((directory / "config.yaml").read_text())
    assert settings["model"]["class_path"].endswith(yaml.safe_load(path.read_text())["model"]["class_path"])
    header, *rows = (directory / "metrics.csv").read_text().splitlines()
    assert {"train/loss", "val/loss", "health/rank", "health/std", "health/uniformity"} <= set(header.split(","))
    assert {"probe/knn", "probe/linear", "throughput/samples_per_second", "train/learning_rate"} <= set(
        header.split(",")
    )
    assert rows and checkpoint(directory)["global_step"] == 5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(reference, tmp_path):
    path, directory = reference
    again, other = fit(path, tmp_path), fit(path, tmp_path, "--seed_everything=7")
    assert_same(checkpoint(directory), checkpoint(again))
    weights, different = checkpoint(directory)["state_dict"], checkpoint(other)["state_dict"]
    assert any(not torch.equal(weights[name], different[name]) for name in weights)


def test_a_run_stopped_in_mid_epoch_and_resumed_equals_the_uninterrupted_one_bit_for_bit(reference, tmp_path):
    path, directory = reference
    (middle,) = (directory / "checkpoints").glob("middle-step=3.ckpt")
    resumed = fit(path, tmp_path, "--ckpt_path", str(middle), "--seed_everything=99", *SAVING)
    assert_same(checkpoint(directory), checkpoint(resumed))
    for ours, theirs in zip(
        checkpoint(directory)["optimizer_states"], checkpoint(resumed)["optimizer_states"], strict=True
    ):
        for slot, state in ours["state"].items():
            assert all(torch.equal(state[name], theirs["state"][slot][name]) for name in state)


def test_the_checkpoint_alone_rebuilds_the_method(reference):
    _, directory = reference
    method = L.LightningModule.load_from_checkpoint(
        directory / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
    )
    assert isinstance(method, Method)
    saved = checkpoint(directory)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in method.state_dict().items())


def test_a_method_built_in_python_is_rebuilt_from_its_checkpoint_too(reference, tmp_path):
    _, directory = reference
    built = rebuild(checkpoint(directory))  # its constructor gets objects, as it does in Python
    torch.save({"hyper_parameters": dict(built.hparams)}, tmp_path / "settings.ckpt")
    again = rebuild(torch.load(tmp_path / "settings.ckpt", weights_only=True))
    assert type(again) is type(built) and again.hparams == built.hparams
    for name, value in built.state_dict().items():
        assert name == "noise_seed" or torch.equal(value, again.state_dict()[name]), name


def test_two_processes_compute_what_one_does_on_the_whole_batch(reference, tmp_path):
    path, _ = reference
    # Adam divides by the gradient's size, which turns a rounding error in a tiny gradient into a whole step.
    exact = ["--trainer.precision=32-true", "--model.optimizer.name=sgd", "--trainer.max_steps=2"]
    if "dropout" in yaml.safe_load(path.read_text())["model"]["init_args"]["encoder"]["init_args"]:
        exact.append("--model.encoder.dropout=0")  # drawn by each process for itself
    if yaml.safe_load(path.read_text())["model"]["init_args"]["encoder"]["class_path"] == "AudioResNet":
        # On maps as large as spectrograms ReLUs and batch norm turn float32's rounding into per cents of the gradient,
        # the more so the deeper; in float64 one process and two agree to twelve digits.
        exact += ["--model.encoder.depth=10", "--model.views.frequency_masks=0"]
    # The log-likelihood of a spectrogram is a sum over thousands of numbers.
    rate = "1e-6" if "SpectrogramDecoder" in path.read_text() else "1e-3"
    start = weights(fit(path, tmp_path / "start", *exact, "--model.optimizer.learning_rate=1e-12"))
    one = weights(fit(path, tmp_path / "one", *exact, f"--model.optimizer.learning_rate={rate}")) - start
    two = weights(fit_on_two(path, tmp_path / "two", *exact, f"--model.optimizer.learning_rate={rate}")) - start
    # Not element by element: a rounding error that carries one activation over a ReLU's kink changes single gradients.
    # A gather without gradient or batch-norm statistics of half the batch change the whole direction.
    assert one.norm() > 0 and (one - two).norm() < 0.02 * one.norm()


def test_it_takes_another_encoder_and_colour_images(reference, tmp_path):
    path, directory = reference
    settings = yaml.safe_load((directory / "config.yaml").read_text())
    if not settings["data"]["class_path"].endswith("ImageData"):
        pytest.skip("only images have colour")
    for number in range(48):
        (tmp_path / "images" / str(number % 3)).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / str(number % 3) / f"{number}.png")
    resnet = ["--model.encoder=ResNet", "--model.encoder.depth=10", "--model.encoder.width=8"]
    vit = ["--model.encoder=ViT", "--model.encoder.patch_size=4", "--model.encoder.dim=16", "--model.encoder.heads=2",
           "--model.encoder.depth=1"]  # fmt: skip
    other = resnet if settings["model"]["init_args"]["encoder"]["class_path"].endswith("ViT") else vit
    colour = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'images'}", "--trainer.max_steps=2"]
    if settings["model"]["init_args"]["encoder"]["init_args"].get("pretrained") is not None:
        other = []  # its weights are those of a ResNet for grey images
    try:
        run_directory = fit(path, tmp_path / "runs", *other, *colour)
    except InputError as refusal:  # in a sentence, where it needs what only a transformer promises
        assert "leaves patches, tokens or frames out" in str(refusal)
    else:
        assert checkpoint(run_directory)["global_step"] == 2


# Backwards: of several experiments the one with the shortest name, the method's own, is the last and stays.
IMAGE_METHODS = {
    yaml.safe_load(path.read_text())["model"]["class_path"]: path
    for path in reversed(EXPERIMENTS)
    if path.parent.name == "image"
}


@pytest.mark.parametrize("path", IMAGE_METHODS.values(), ids=IMAGE_METHODS)
def test_a_method_of_images_runs_on_speech(path, tmp_path):
    arguments = yaml.safe_load(path.read_text())["model"]["init_args"]
    options = ["--model.encoder=AudioResNet", "--model.encoder.depth=10", "--model.encoder.width=8"]
    if "views" in arguments:
        options += ["--model.views=AudioViews", "--model.views.seconds=0.4"]
    if "decoder" in arguments:
        options += ["--model.decoder=SpectrogramDecoder", "--model.decoder.width=8"]
    options += ["--data=AudioData", "--data.source=AudioFolder", f"--data.source.root={write_waves(tmp_path)}"]
    options += ["--data.sample_rate=8000", "--data.crop_seconds=0.5", "--trainer.max_steps=2"]
    try:
        run(["fit", "--config", str(path), *SMALL, *options, f"--runs_dir={tmp_path / 'runs'}"])
    except InputError as refusal:  # as above
        assert "leaves patches, tokens or frames out" in str(refusal)
        return
    (run_directory,) = tmp_path.glob("runs/*/*")
    assert checkpoint(run_directory)["global_step"] == 2
    # Each part took rate and length from the data, and keeps them.
    settings = checkpoint(run_directory)["hyper_parameters"]
    assert settings["encoder"]["init_args"]["sample_rate"] == 8000
    assert "views" not in arguments or settings["views"]["init_args"]["sample_rate"] == 8000
    assert "decoder" not in arguments or settings["decoder"]["init_args"]["crop_seconds"] == 0.5


def test_a_method_of_text_takes_another_encoder(reference, tmp_path):
    path, directory = reference
    settings = yaml.safe_load((directory / "config.yaml").read_text())["model"]["init_args"]
    if not settings["encoder"]["class_path"].endswith("BertEncoder"):
        pytest.skip("there is another encoder for bidirectional text only")
    other = "ModernBertEncoder" if settings["encoder"]["class_path"].endswith(".BertEncoder") else "BertEncoder"
    sizes = ["--model.encoder.dim=16", "--model.encoder.depth=2", "--model.encoder.heads=2"]
    run_directory = fit(path, tmp_path / "runs", f"--model.encoder={other}", *sizes, "--trainer.max_steps=2")
    assert checkpoint(run_directory)["global_step"] == 2


def test_labels_never_reach_the_loss(reference, monkeypatch):
    _, directory = reference
    method = L.LightningModule.load_from_checkpoint(
        directory / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
    )
    seen = []
    losses = type(method).losses

    def spy(self, batch):
        seen.append(batch.labels)
        return losses(self, batch)

    monkeypatch.setattr(type(method), "losses", spy)
    settings = yaml.safe_load((directory / "config.yaml").read_text())
    runs = directory.parents[1]
    run(["fit", "--config", str(directory / "config.yaml"), "--ckpt_path=null", "--runs_dir", str(runs)])
    assert settings["trainer"]["max_steps"] == 5 and len(seen) >= 5 and set(seen) == {None}
