"""Twenty random faults over three methods, each a real process of the command line, change nothing about the result."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contracts.experiments import FOLDER, small
from tests.runs.test_stopped_runs import assert_same, directory, learned

STEPS = 240
LAST_FAULT = 180  # the run must not be over before the fault comes
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
# By experiment: the number of faults, and what the method does besides.
METHODS = {
    "image/simclr.yaml": (7, []),
    "image/moco.yaml": (7, ["--trainer.accumulate_grad_batches=2"]),  # and a queue
    "text/bert.yaml": (6, ["--model.encoder.dropout=0.1"]),
}


def command(path: Path, runs: Path, *options: str) -> list[str]:
    settings = [
        "--resume=auto", f"--trainer.max_steps={STEPS}", "--trainer.val_check_interval=60",
        "--checkpoint_minutes=0.002", *options,
    ]  # fmt: skip
    return [sys.executable, "-m", "ssl_zoo", *small(path, runs), *settings]


def steps_logged(runs: Path) -> int:
    """How far a run is, as its log says, which is written with every checkpoint."""
    for path in runs.glob("*/*/metrics.csv"):
        with path.open(newline="") as file:
            return max((int(row["step"]) for row in csv.DictReader(file) if (row["step"] or "").isdigit()), default=0)
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_random_faults_change_nothing(name, tmp_path):
    faults, options = METHODS[name]
    generator = random.Random(name)
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    subprocess.run(command(FOLDER / name, calm, *options), check=True, capture_output=True)
    args = command(FOLDER / name, cut, *options)
    kinds = [list(CODES)[number % 3] for number in range(faults)]
    generator.shuffle(kinds)
    for step, kind in zip(sorted(generator.sample(range(2, LAST_FAULT), faults)), kinds, strict=True):
        process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        start = time.monotonic()
        step = max(step, steps_logged(cut) + 2)  # the fault is this process's, however far the one before has come
        while steps_logged(cut) < step:
            assert process.poll() is None and time.monotonic() - start < 120
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.2))  # anywhere: in a step, in a validation, in writing
        os.kill(process.pid, kind)
        _, error = process.communicate(timeout=120)
        assert process.returncode == CODES[kind] and "Traceback" not in error, error
        assert (kind == signal.SIGKILL) or "`ssl-zoo fit --resume" in error
    subprocess.run(args, check=True, capture_output=True)
    assert_same(learned(directory(cut)), learned(directory(calm)))
