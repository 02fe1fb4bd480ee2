"""A new health figure is one entry, and so is a new picture of an evaluation: whatever shows such things shows them."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from ssl_zoo.cli import run
from ssl_zoo.evaluation.pictures import PICTURES, Shown
from ssl_zoo.probes.health import FIGURES, HealthFigure


def largest(features: Tensor) -> Tensor:
    """Stands for a figure."""
    return features.abs().max()


def square(shown: Shown, path: Path) -> None:
    """Stands for a picture: as wide as there are rows."""
    Image.new("RGB", (len(shown.result.rows), 7)).save(path)


def test_a_health_figure_and_a_picture_are_one_entry_each(tmp_path, monkeypatch):
    monkeypatch.setitem(FIGURES, "largest", HealthFigure("the toy's meaning", largest, less_is_better=True))
    monkeypatch.setitem(PICTURES, "square", square)
    run(
        ["fit", "--config=experiments/quickstart.yaml", "--config=experiments/tensorboard.yaml",
         f"--runs_dir={tmp_path / 'runs'}", "--data.batch_size=64", "--data.image_size=8", "--data.train_size=192",
         "--model.encoder.width=4", "--model.projection_hidden=16", "--trainer.max_steps=2",
         "--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1",
         "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--probe.draws=1",
         "--probe.labels_per_class=[1]", "--probe.ceiling=false", "--probe.layers=false"]
    )  # fmt: skip
    (directory,) = tmp_path.glob("runs/quickstart/*")
    with (directory / "metrics.csv").open() as file:
        (logged,) = [float(row["health/largest"]) for row in csv.DictReader(file) if row["health/largest"]]
    assert logged > 0
    result = json.loads((directory / "results.json").read_text())
    assert result["health"]["health/largest"] == pytest.approx(logged)
    shown = EventAccumulator(str(directory / "tensorboard"), {"scalars": 0, "images": 0}).Reload()
    assert [event.value for event in shown.Scalars("health/largest")] == [pytest.approx(logged)]
    (event,) = shown.Images("figures/square")
    assert (event.width, event.height) == (len(result["rows"]), 7)
    with Image.open(directory / "figures" / "square.png") as picture:
        assert picture.size == (len(result["rows"]), 7)
    run(["compare", str(tmp_path / "runs"), f"--out={tmp_path / 'report'}", "--rank_by=health:largest"])
    page = (tmp_path / "report" / "report.html").read_text()
    assert "the toy&#x27;s meaning" in page and f"{logged:.3g}" in page and "the largest of the features" in page
