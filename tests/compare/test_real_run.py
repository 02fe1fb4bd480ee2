"""What training and probing write is what compare reads."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ssl_zoo.cli import run
from ssl_zoo.compare.runs import read_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with one short run on digits."""
    folder = tmp_path_factory.mktemp("work") / "runs"
    run(
        ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"), "--runs_dir", str(folder),
         "--seed_everything=3", "--trainer.max_steps=4", "--trainer.check_val_every_n_epoch=null",
         "--trainer.val_check_interval=4", "--trainer.log_every_n_steps=2", "--data.batch_size=32",
         "--data.image_size=12", "--data.train_size=200", "--data.test_fraction=0.1", "--model.encoder.width=8",
         "--probe.draws=1", "--probe.labels_per_class=[1]", "--probe.ceiling=false"]
    )  # fmt: skip
    return folder


def test_a_finished_run_has_everything_that_is_compared(runs):
    (directory,) = runs.glob("quickstart/*")
    found, remarks = read_run(directory)
    assert remarks == [] and found.settings["trainer.max_steps"] == 4 and found.seed == found.result.seed == 3
    result = found.result
    assert (result.method, result.modality, result.budget.samples) == ("SimCLR", "image", 4 * 32)
    assert result.budget.peak_memory > 50e6 and result.chance_loss == pytest.approx(np.log(63))
    assert {"health/rank", "health/std", "health/alignment", "health/uniformity"} <= set(result.health)
    # Two views pass every weight at least once forward and twice backward, two operations each time.
    assert result.budget.flops > 2 * 3 * 2 * result.parameters * result.budget.samples
    assert len(found.features.features) == 180 == len(found.features.map) and len(found.features.classes) == 10
    assert [step for step, _ in found.curves["train/loss"]] == [1, 3] and len(found.curves["val/loss"]) == 1


def test_the_guides_command_compares_it(runs, monkeypatch, capsys):
    (command,) = re.findall(r"^uv run ssl-zoo (compare .+)$", (ROOT / "docs" / "runs.md").read_text(), re.MULTILINE)
    monkeypatch.chdir(runs.parent)
    run(command.split())
    printed = capsys.readouterr().out
    assert re.search(r"1 │ quickstart +│ +\d+\.\d │ SimCLR │ +1 │", printed) and "Not ranked" not in printed
    assert "SimCLR" in (runs.parent / "compare" / "report.html").read_text()


def test_testing_a_run_leaves_nothing_to_compare(runs, tmp_path):
    directory = next(runs.glob("quickstart/*"))
    checkpoint = str(directory / "checkpoints" / "last.ckpt")
    run(["test", "--config", str(directory / "config.yaml"), "--ckpt_path", checkpoint, "--runs_dir", str(tmp_path)])
    for left in tmp_path.glob("quickstart/*"):
        assert read_run(left) == (None, [])


def test_probing_again_measures_the_same_cost(runs):
    directory = next(runs.glob("quickstart/*"))
    before = json.loads((directory / "results.json").read_text())["budget"]
    run(["probe", "--run", str(directory), "--draws=1", "--labels_per_class=[1]", "--ceiling=false", "--layers=false"])
    assert json.loads((directory / "results.json").read_text())["budget"] == before
