"""How fast an experiment trains on this machine, found out by training it for a moment."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from ssl_zoo import metrics
from ssl_zoo.errors import InputError
from ssl_zoo.runs.files import METRICS
from ssl_zoo.runs.logged import read_metrics
from ssl_zoo.sweep.process import last_line, run_logged
from ssl_zoo.sweep.terms import samples_per_step

STEPS, WINDOW = 50, 10
OPTIONS = [
    # So many steps and so long: of a fast experiment fifty steps are too short a moment to measure.
    f"--trainer.min_steps={STEPS}",
    "--trainer.min_epochs=0",  # which Lightning makes 1 where there is a minimum of steps
    "--trainer.max_time=00:00:00:20",
    f"--trainer.log_every_n_steps={WINDOW}",
    "--trainer.limit_val_batches=0",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.enable_checkpointing=false",
    "--trainer.logger=false",  # none besides the CSV file that is read here
    "--probe_after_fit=false",
]


def measure_speed(fit: list[str], settings: dict[str, Any], log: Path, watch: Callable[[], None]) -> float:
    """Optimizer steps per second of an experiment, validation left out.

    The first of the windows is not counted: memory and kernels are prepared in it.

    Args:
        fit: the command that trains the experiment.
        settings: settings of the experiment.
        log: file for what it prints.
        watch: called twice a second.

    Raises:
        InputError: the experiment does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        code = run_logged([*fit, *OPTIONS, f"--runs_dir={folder}"], log, watch)
        found = list(Path(folder).rglob(METRICS))
        if code != 0 or not found:
            raise InputError(f"its speed could not be measured ({last_line(log)}); see {log}")
        speeds = [speed for _, speed in read_metrics(found[0]).get(metrics.THROUGHPUT, [])]
    if not speeds:
        raise InputError(f"its speed could not be measured, as it ends before {WINDOW} steps; see {log}")
    return median(speeds[1:] or speeds) / samples_per_step(settings)
