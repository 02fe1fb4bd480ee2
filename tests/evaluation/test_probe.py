import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import run
from ssl_zoo.evaluation.probe import probe
from ssl_zoo.runs.run import load_run, rebuild

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """A short run on digits, probed at its end; what it printed is in a file."""
    runs = tmp_path_factory.mktemp("runs")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run(
            ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"), "--runs_dir", str(runs),
             "--trainer.max_steps=12", "--data.batch_size=64", "--data.image_size=12", "--data.train_size=200",
             "--data.test_fraction=0.1", "--model.encoder.width=8", "--probe.draws=2", "--probe.labels_per_class=[1,5]"]
        )  # fmt: skip
    (directory,) = runs.glob("quickstart/*")
    (directory / "printed.txt").write_text(printed.getvalue())
    return directory


def test_fit_ends_with_results_pictures_and_every_row(directory):
    record = json.loads((directory / "results.json").read_text())
    assert list(record["rows"]) == ["SimCLR", "untrained encoder", "raw inputs", "supervised"]
    for row in ("SimCLR", "untrained encoder", "raw inputs"):
        for kind in ("linear", "knn"):
            found = record["rows"][row][kind]
            assert list(found) == ["1", "5", "all"]
            assert [len(found[labels]["draws"]) for labels in found] == [2, 2, 1]
            assert found["all"]["mean"] > found["1"]["mean"] > 0.1
    assert record["budget"]["steps"] == 12 and record["budget"]["samples"] == 12 * 64
    assert record["data"]["split"] and record["protocol"] == 3
    for name in ("label_efficiency.png", "feature_map.png", "views.png"):
        assert (directory / "figures" / name).stat().st_size > 5000


def test_every_layer_is_probed_once_and_only_where_it_is_asked_for(directory, tmp_path, capsys):
    record = json.loads((directory / "results.json").read_text())
    assert record["main_task"] == "classes" and list(record["layers"]) == ["SimCLR", "untrained encoder"]
    for found in record["layers"].values():
        assert len(found["test"]) == len(found["validation"]) == load_run(directory).method.encoder.num_layers
        assert found["validation"][found["chosen"]] == max(found["validation"])
    assert "layer by layer" in (directory / "printed.txt").read_text()
    copy = tmp_path / "quickstart" / directory.name
    shutil.copytree(directory, copy)
    probe(copy, labels_per_class=[1], draws=1, ceiling=False, layers=False)
    without = json.loads((copy / "results.json").read_text())
    assert "layers" not in without and "layer by layer" not in capsys.readouterr().out
    # One pass gives both: what is asked besides changes nothing of the classes' own probes.
    for row in ("SimCLR", "untrained encoder"):
        for kind in ("linear", "knn"):
            assert without["rows"][row][kind]["all"] == record["rows"][row][kind]["all"]


def test_probing_again_gives_the_same_numbers(directory):
    before = json.loads((directory / "results.json").read_text())
    probe(directory, labels_per_class=[1, 5], draws=2, ceiling=True)
    assert json.loads((directory / "results.json").read_text()) == before


def test_the_untrained_baseline_is_another_encoder_of_the_same_settings(directory):
    loaded = load_run(directory)
    untrained = rebuild(loaded.checkpoint)
    shapes = {name: value.shape for name, value in untrained.encoder.state_dict().items()}
    assert shapes == {name: value.shape for name, value in loaded.method.encoder.state_dict().items()}
    assert not torch.equal(untrained.encoder.conv1.weight, loaded.method.encoder.conv1.weight)
    again = rebuild(loaded.checkpoint)
    assert torch.equal(untrained.encoder.conv1.weight, again.encoder.conv1.weight)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"step,epoch\n1,2,3\n", b""], ids=["no text", "cells", "empty"])
def test_a_damaged_log_costs_the_health_figures_and_nothing_else(directory, tmp_path, content):
    copy = tmp_path / "quickstart" / directory.name
    shutil.copytree(directory, copy)
    (copy / "metrics.csv").write_bytes(content)
    probe(copy, labels_per_class=[1], draws=1, ceiling=False, layers=False)
    record = json.loads((copy / "results.json").read_text())
    assert record["rows"]["SimCLR"] and record["health"] == {}
    assert any("metrics.csv is damaged" in remark for remark in record["remarks"])
