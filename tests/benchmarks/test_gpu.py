"""What a GPU is tried with: all experiments are found, faults are named, and one that fails stops no other."""

import argparse
import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

FOLDER = Path(__file__).parents[2] / "benchmarks"
EXPERIMENTS = FOLDER.parent / "experiments"


@pytest.fixture
def gpu(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("gpu")


@pytest.fixture
def experiments(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("SSL_ZOO_CACHE", "changed by what is tested")
    return importlib.import_module("gpu_experiments")


def test_every_experiment_is_found_and_one_that_fails_does_not_stop_the_others(experiments, monkeypatch) -> None:
    def check(options: list[str], device: torch.device) -> dict[str, float]:
        if any("byol.yaml" in option for option in options):
            raise RuntimeError("CUDA error")
        return {"float32": 1.0}

    monkeypatch.setattr(experiments, "check", check)
    monkeypatch.setattr(experiments, "fit_settings", lambda options: {"model": {}})
    rows = {row["name"]: row for row in experiments.check_all(smoke=True)}
    overlays = {
        "emoji.yaml",
        "gpu.yaml",
        "smoke.yaml",
        "styles.yaml",
        "tensorboard.yaml",
        "wandb.yaml",
        "text/denoising_variants.yaml",
    }
    assert rows.keys() == {str(path.relative_to(EXPERIMENTS)) for path in EXPERIMENTS.rglob("*.yaml")} - overlays
    failed = [name for name, row in rows.items() if "error" in row]
    assert failed == ["image/byol.yaml"] and rows[failed[0]]["error"] == "RuntimeError: CUDA error"


OPTIONS = ["--config", str(EXPERIMENTS / "quickstart.yaml"), "--config", str(EXPERIMENTS / "smoke.yaml")]
OPTIONS += ["--trainer.accelerator=cpu", "--data.train_size=24", "--model.encoder.width=8"]


def test_a_device_that_computes_what_the_cpu_does_has_no_error(experiments) -> None:
    row = experiments.check(OPTIONS, torch.device("cpu"))
    assert "error" not in row and row["float32"] == row["CPU float32"] != row["after 3 steps"]


def test_what_reads_the_codes_of_another_run_is_tried_where_there_is_none(experiments, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = EXPERIMENTS / "audio" / "vq_wav2vec_bert.yaml"
    settings, data = yaml.safe_load(path.read_text()), experiments.make_data(tmp_path)
    options = experiments.options_of(path, settings, data, smoke=True)
    assert math.isfinite(experiments.check(options, torch.device("cpu"))["after 3 steps"])


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ((4.0, 4.004, 4.2), []),
        ((4.0, 4.02, 4.0), ["float32"]),
        ((4.0, 4.0, 4.3), ["bfloat16"]),
        ((4.0, math.nan, math.inf), ["float32", "bfloat16"]),
        ((math.nan, math.nan, math.nan), ["float32", "bfloat16"]),
        ((0.0, 0.0, 0.01), []),  # some losses begin at zero
    ],
)
def test_a_loss_that_differs_from_the_cpus_is_an_error(experiments, monkeypatch, losses, named) -> None:
    following = iter(losses)
    monkeypatch.setattr(experiments, "loss_of", lambda *_, **__: next(following))
    monkeypatch.setattr(experiments, "train", lambda *_: 1.0)
    error = experiments.check(OPTIONS, torch.device("cpu")).get("error", "")
    assert [part.split(":")[0] for part in error.split("; ") if part] == named


def test_rates_of_dropout_are_found_wherever_they_are(experiments) -> None:
    settings = {"init_args": {"encoder": {"init_args": {"dropout": 0.1, "attention_dropout": 0.0, "front": None}}}}
    assert list(experiments.dropouts(settings, "model")) == ["model.encoder.dropout"]


def test_a_part_that_dies_leaves_what_it_had_found_and_its_last_words(gpu, tmp_path, monkeypatch) -> None:
    program = tmp_path / "part.py"
    program.write_text(
        "import pathlib, sys\nout = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        '(out / \'fashion.jsonl\').write_text(\'{"name": "first", "rate": 2.0}\\n\')\n'
        "if float(sys.argv[-1]) < 5:\n    import time; time.sleep(60)\nraise RuntimeError('out of memory')"
    )
    monkeypatch.setattr(gpu, "__file__", str(program))
    args = argparse.Namespace(out=tmp_path, smoke=False, root=None)
    found, died = gpu.start_part("fashion", args, limit=30)
    assert found["rate"] == 2.0 and died["error"] == "RuntimeError: out of memory"
    found, ended = gpu.start_part("fashion", args, limit=2)
    assert found["rate"] == 2.0 and "skipped" in ended and "error" not in ended
    assert gpu.table([found, died]).splitlines()[2:] == [
        "| first | 2 |  |",
        "| the rest |  | RuntimeError: out of memory |",
    ]


def test_rows_are_written_as_they_come(gpu, tmp_path, monkeypatch) -> None:
    def part(**_) -> Iterator[dict[str, str]]:
        yield {"name": "one"}
        assert gpu.read(tmp_path, "fashion") == [{"name": "one"}]
        yield {"name": "two"}

    monkeypatch.setitem(gpu.PARTS, "fashion", part)
    gpu.run_part(argparse.Namespace(out=tmp_path, part="fashion", limit=1, smoke=True, root=None))
    assert gpu.read(tmp_path, "fashion") == [{"name": "one"}, {"name": "two"}]
