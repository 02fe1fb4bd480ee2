"""`fit --resume auto --experiment NAME` is enough to take up the experiment's newest run."""

from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import run
from ssl_zoo.errors import InputError


def test_the_name_of_the_experiment_is_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(["fit", "--config=quickstart", "--trainer.max_steps=1", "--data.batch_size=8", "--probe_after_fit=false",
         "--trainer.accelerator=cpu"])  # fmt: skip
    run(["fit", "--resume", "auto", "--experiment", "quickstart", "--trainer.max_steps=2"])
    (directory,) = Path("runs/quickstart").glob("*")
    assert torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


def test_without_a_run_and_without_settings_there_is_nothing_to_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no run in runs/nothing, and nothing says how to begin one"):
        run(["fit", "--resume", "auto", "--experiment", "nothing"])
