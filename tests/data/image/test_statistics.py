"""What images are on average, and how encoders come by it."""

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ssl_zoo.cli import run
from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.image import statistics
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.image.statistics import channel_statistics
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.runs.run import load_run, rebuild

RANDOM = np.random.default_rng(0)


class Made(ImageSource):
    """Images of five channels, the last of which is the same everywhere."""

    name, licence, channels, image_size = "Made", "none", 5, 6

    def __init__(self, floats: bool = False) -> None:
        self.floats = floats

    def load(self) -> LoadedImages:
        draw = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (70, 5, 6, 6), dtype=torch.uint8, generator=draw)
        pixels = (pixels // torch.tensor([1, 2, 3, 4, 5], dtype=torch.uint8).view(-1, 1, 1)).contiguous()
        pixels[:, 4] = 51
        values = pixels / 255 if self.floats else pixels
        return LoadedImages(ArrayImages(values, torch.arange(70) % 2), None, None, ["a", "b"])


def training_values(data: ImageData) -> Tensor:
    inputs = data.train_set.__getitems__(list(range(len(data.train_set)))).inputs
    return (inputs if inputs.is_floating_point() else inputs / 255).double()


@pytest.mark.parametrize("floats", [False, True])
def test_mean_and_deviation_are_those_of_the_training_images(floats: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "AT_ONCE", 16)
    data = ImageData(Made(floats), batch_size=4)
    data.setup()
    mean, std = channel_statistics(data.train_set)
    values = training_values(data)
    torch.testing.assert_close(torch.tensor(mean).double(), values.mean((0, 2, 3)), atol=1e-6, rtol=0)
    expected = values.transpose(0, 1).flatten(1).std(1, correction=0)
    torch.testing.assert_close(torch.tensor(std[:4]).double(), expected[:4], atol=1e-6, rtol=0)
    assert std[4] == 1.0  # nothing can be scaled to the deviation 1, and dividing by 0 gives no numbers


def test_of_many_images_a_random_choice_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "ENOUGH", 20)
    data = ImageData(Made(), batch_size=4)
    data.setup()
    mean, _ = channel_statistics(data.train_set)
    assert mean == channel_statistics(data.train_set)[0]
    everything = training_values(data)
    assert 0 < np.abs(np.array(mean) - everything.mean((0, 2, 3)).numpy()).max() < 0.05


def test_nothing_is_measured_unless_asked_for() -> None:
    assert ImageData(Made(), batch_size=4).statistics is None
    assert ImageData(Made(), batch_size=4, measure_statistics=True).statistics is not None


class Watched(Made):
    """Notes whether another process would have to wait while it is read."""

    held: ClassVar[list[bool]] = []

    def load(self) -> LoadedImages:
        try:
            with FileLock(CACHE / "images.lock", timeout=0):
                self.held.append(False)
        except Timeout:  # which is what is asked
            self.held.append(True)
        return super().load()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_of_several_processes_that_measure_one_fetches_what_is_missing(
    processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    Watched.held.clear()
    assert ImageData(Watched(), batch_size=4, measure_statistics=True).statistics is not None
    assert Watched.held == ([False] if processes == "1" else [True, False])  # then all read what is there


@pytest.mark.parametrize("encoder", [ResNet, ViT, MLP])
def test_an_encoder_normalises_by_what_was_measured(encoder: type) -> None:
    data = ImageData(Made(), batch_size=4, measure_statistics=True)
    sizes = {"image_size": 6, "patch_size": 3, "dim": 8, "heads": 2, "depth": 1} if encoder is ViT else {}
    sizes |= {"width": 4, "depth": 10} if encoder is ResNet else {}
    sizes |= {"image_size": 6, "hidden": [4]} if encoder is MLP else {}
    module = encoder(channels=5, statistics=data.statistics, **sizes)
    normalized = module.normalize(training_values(data).float(), 5)
    torch.testing.assert_close(normalized.mean((0, 2, 3)), torch.zeros(5), atol=1e-4, rtol=0)
    deviation = normalized.transpose(0, 1).flatten(1).std(1)
    torch.testing.assert_close(deviation[:4], torch.ones(4), atol=1e-3, rtol=0)
    assert module(training_values(data).float()[:2]).pooled.isfinite().all()


def test_a_mean_of_another_number_of_channels_is_named() -> None:
    encoder = MLP([4], channels=5, image_size=6, mean=[0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="mean and std have 3 and 1 numbers but the images have 5 channels"):
        encoder(torch.zeros(2, 5, 6, 6))


def test_a_run_on_deep_images_of_many_channels_measures_trains_and_is_evaluated(tmp_path: Path) -> None:
    """Such as satellites and microscopes take: six channels of 16 bits, wider than high."""
    for number in range(64):
        pixels = RANDOM.integers(0, 3000, (12, 16, 6)).astype(np.uint16)
        pixels[:6, :8, number % 2] = 9000
        folder = tmp_path / "data" / ("land" if number % 2 else "water")
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number:02d}.npy", pixels)
    options = [
        *("--model", "SimCLR", "--model.encoder", "MLP", "--model.encoder.hidden", "[16]"),
        *("--model.views", "MultichannelViews", "--data", "ImageData", "--data.source", "ImageFolder"),
        *(f"--data.source.root={tmp_path / 'data'}", "--data.source.channels=6", "--data.source.dtype=float32"),
        *("--data.source.value_range=[0,10000]", "--data.image_size=12", "--data.batch_size=16"),
        *("--data.measure_statistics=true", "--trainer.max_steps=3", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", "--probe.draws=1", "--probe.labels_per_class=[1]"),
        *(f"--runs_dir={tmp_path / 'runs'}", "--experiment=deep", "--trainer.devices=1"),
    ]
    run(["fit", *options])
    (directory,) = (tmp_path / "runs" / "deep").iterdir()
    assert (directory / "results.json").is_file() and (directory / "figures" / "views.png").is_file()
    with (directory / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert np.isfinite(losses).all()
    loaded = load_run(directory)
    assert isinstance(loaded.data, ImageData) and isinstance(loaded.data.source, ImageFolder)
    measured = channel_statistics(loaded.data.train_set)[0]
    for method in (loaded.method, rebuild(loaded.checkpoint)):  # the trained one, and the untrained baseline
        torch.testing.assert_close(method.encoder.normalize.mean.flatten(), torch.tensor(measured))
