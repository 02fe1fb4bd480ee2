"""What every experiment owes its users, tried on all that there are: it runs, and its checkpoint is enough to go on."""

import inspect
from functools import partial

import lightning as L
import pytest
import torch

from ssl_zoo.methods.base import Method
from ssl_zoo.runs.run import rebuild
from tests.contracts.experiments import EACH_EXPERIMENT, checkpoint, method_of, of_pairs, settings_of

pytestmark = pytest.mark.parametrize("path", EACH_EXPERIMENT)


def test_a_run_leaves_its_settings_metrics_and_checkpoint(path, finished):
    directory = finished(path)
    assert settings_of(directory / "config.yaml")["model"]["class_path"].endswith(method_of(path))
    header, *rows = (directory / "metrics.csv").read_text().splitlines()
    assert {
        "train/loss", "train/learning_rate", "val/loss", "health/rank", "health/std", "health/uniformity",
        "throughput/samples_per_second",
    } <= set(header.split(","))  # fmt: skip
    probed = {"probe/knn", "probe/linear"} <= set(header.split(","))
    assert probed != of_pairs(settings_of(path)["data"])  # which have no classes to probe
    assert rows and checkpoint(directory)["global_step"] == 5


def test_the_checkpoint_alone_rebuilds_the_method(path, finished, monkeypatch):
    directory = finished(path)
    # Lightning asks for the names of all callers' files, and would be given the lines around each call, too.
    monkeypatch.setattr(inspect, "stack", partial(inspect.stack, 0))
    method = L.LightningModule.load_from_checkpoint(
        directory / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
    )
    assert isinstance(method, Method)
    saved = checkpoint(directory)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in method.state_dict().items())


def test_a_method_built_in_python_is_rebuilt_from_its_checkpoint_too(path, rebuilt, tmp_path):
    built = rebuilt(path)  # its constructor gets objects, as it does in Python
    torch.save({"hyper_parameters": dict(built.hparams)}, tmp_path / "settings.ckpt")
    again = rebuild(torch.load(tmp_path / "settings.ckpt", weights_only=True))
    assert type(again) is type(built) and again.hparams == built.hparams
    for name, value in built.state_dict().items():
        assert name == "noise_seed" or torch.equal(value, again.state_dict()[name]), name
