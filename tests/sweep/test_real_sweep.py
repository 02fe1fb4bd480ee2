"""A sweep of two real experiments, with an interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
QUICK = str(ROOT / "experiments" / "quickstart.yaml")
SMALL = ["--data.image_size=12", "--data.batch_size=64", "--probe.draws=1", "--probe.labels_per_class=[1]",
         "--probe.ceiling=false", "--trainer.accelerator=cpu"]  # fmt: skip


def command(out: Path, samples: int, *experiments: str) -> list[str]:
    return [sys.executable, "-m", "ssl_zoo", "sweep", *experiments, "--seeds=1", f"--samples={samples}",
            f"--out={out}", "--", *SMALL]  # fmt: skip


@pytest.mark.slow
def test_two_methods_on_equal_samples_are_ranked_and_never_trained_again(tmp_path):
    out, second = tmp_path / "out", tmp_path / "moco.yaml"
    text = Path(QUICK).read_text().replace("class_path: SimCLR", "class_path: MoCo")
    text = text.replace("    chunk_size: null\n", "")
    second.write_text(text.replace("    temperature: 0.5", "    queue_size: 128"))
    for _ in range(2):
        done = subprocess.run(command(out, 640, QUICK, str(second)), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        found = [json.loads(path.read_text()) for path in out.rglob("results.json")]
        assert sorted(record["method"] for record in found) == ["MoCo", "SimCLR"]
        assert {record["budget"]["samples"] for record in found} == {640}
        assert (out / "comparison" / "report.html").is_file()
    assert done.stdout.count(", before") == 2


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_equals_an_uninterrupted_one(tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = subprocess.Popen(command(out, 12800, QUICK), cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not any(len(path.read_text().splitlines()) > 3 for path in out.rglob("metrics.csv")):
        assert process.poll() is None
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(180) == 130
    assert list(out.glob("quickstart-*/seed0/*/*/checkpoints/last.ckpt")) and not list(out.rglob("results.json"))
    for folder in (out, whole):
        done = subprocess.run(command(folder, 12800, QUICK), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def last(folder: Path) -> tuple[dict[str, torch.Tensor], list[int]]:
        directory = sorted(folder.glob("quickstart-*/seed0/*/*"), key=lambda path: path.name)[-1]
        checkpoint = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
        assert checkpoint["global_step"] == 200
        rows = (directory / "metrics.csv").read_text().splitlines()
        step = rows[0].split(",").index("step")
        return checkpoint["state_dict"], sorted({int(row.split(",")[step]) for row in rows[1:]})

    resumed, uninterrupted = last(out), last(whole)
    assert all(torch.equal(resumed[0][name], value) for name, value in uninterrupted[0].items())
    # Lightning writes a log every so often: what it had not written when it was interrupted is missing.
    assert set(resumed[1]) <= set(uninterrupted[1]) and resumed[1][0] == uninterrupted[1][0]
