"""What images are on average, and how encoders come by it."""

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor

from ssl_zoo.cli import run
from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.image import statistics
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources import contract
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
        self.floats, self.dtype = floats, "float32" if floats else "uint8"

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
    monkeypatch.setattr(contract, "_called_twice", {Watched})  # what an own source gives twice has been looked at
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


def test_a_deviation_of_zero_is_refused() -> None:
    for std in (0.0, [0.5, 0.0]):
        with pytest.raises(InputError, match=r"std is .*0\.0.*: give numbers above 0"):
            MLP([4], channels=2, image_size=6, mean=0.5, std=std)


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


def bright_photographs(folder: Path, count: int = 40, darker: int = 0) -> Path:
    """Colour images with means of about 0.8, 0.7 and 0.6, less `darker` / 255, and small deviations."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(-20, 20, (12, 15, 3))
        pixels = (np.array([204, 178, 153]) - darker + noise).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def options(tmp_path: Path, *more: str) -> list[str]:
    return [
        *("fit", "--config", "experiments/own/images.yaml", f"--data.source.root={tmp_path / 'data'}"),
        *("--data.image_size=12", "--data.batch_size=8", "--model.encoder.depth=10", "--model.encoder.width=4"),
        *(
            "--trainer.max_steps=2",
            "--trainer.accelerator=cpu",
            "--trainer.devices=1",
            "--trainer.val_check_interval=2",
        ),
        *("--trainer.enable_progress_bar=false", "--probe_after_fit=false", f"--runs_dir={tmp_path / 'runs'}", *more),
    ]


def test_mean_and_std_of_the_data_are_numbers_in_the_checkpoint_and_stay(tmp_path: Path) -> None:
    bright_photographs(tmp_path / "data")
    run(options(tmp_path))
    (directory,) = (tmp_path / "runs" / "own_images").iterdir()
    pixels = [
        np.asarray(Image.open(tmp_path / "data" / f"{number:02d}.png").resize((15, 12))) / 255 for number in range(40)
    ]
    everywhere = np.stack(pixels).mean((0, 1, 2))
    loaded = load_run(directory)
    measured = loaded.checkpoint["hyper_parameters"]["encoder"]["init_args"]["statistics"]
    np.testing.assert_allclose(measured[0], everywhere, atol=0.01)
    np.testing.assert_allclose(measured[1], np.stack(pixels).std((0, 1, 2)), atol=0.01)
    assert (
        yaml.safe_load((directory / "config.yaml").read_text())["model"]["init_args"]["encoder"]["init_args"]["mean"]
        == "data"
    )

    bright_photographs(tmp_path / "data", darker=100)  # the weights still expect what they were trained with
    with pytest.warns(UserWarning, match=r"examples of that name are others|have mean \[0\.4"):
        run(
            [
                *("fit", f"--resume={directory}", "--trainer.max_steps=4", "--allow_other_split=true"),
                "--trainer.enable_progress_bar=false",
            ]
        )
    again = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert again["global_step"] == 4
    assert again["hyper_parameters"]["encoder"]["init_args"]["statistics"] == measured


def test_numbers_of_other_images_are_named_beside_those_of_these(tmp_path: Path) -> None:
    bright_photographs(tmp_path / "data")
    of_fashion_mnist = ("--model.encoder.mean=0.286", "--model.encoder.std=0.353")
    with pytest.warns(
        UserWarning,
        match=r"by mean 0\.286 and std 0\.353, but .* have mean \[0\.79.*, 0\.69.*\] and std .*"
        r"--model\.encoder\.mean data --model\.encoder\.std data",
    ):
        run(options(tmp_path, *of_fashion_mnist))
    close = ("--model.encoder.mean=[0.8,0.7,0.6]", "--model.encoder.std=[0.05,0.05,0.04]")
    run(options(tmp_path, *close))  # a warning would fail the test
    run(options(tmp_path, "--model.encoder.mean=0.5", "--model.encoder.std=0.25"))  # a range, which claims nothing


def test_one_of_mean_and_std_may_be_the_data_s() -> None:
    encoder = MLP([4], channels=2, image_size=6, mean="data", std=0.5, statistics=([0.1, 0.2], [0.3, 0.4]))
    torch.testing.assert_close(encoder.normalize.mean.flatten(), torch.tensor([0.1, 0.2]))
    assert encoder.normalize.std.flatten().tolist() == [0.5]
    with pytest.raises(InputError, match="ResNet: mean and std are to be the data's, which no data has measured"):
        ResNet(10, 4, mean="data")
