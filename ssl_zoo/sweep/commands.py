"""What has to be started for a run: its training, the rest of it, or only its evaluation."""

import json
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.sweep.plan import Experiment
from ssl_zoo.sweep.resume import directories, evaluated, is_trained, latest_checkpoint
from ssl_zoo.sweep.state import SweepState
from ssl_zoo.sweep.terms import length_options

PROGRAM = [sys.executable, "-m", "ssl_zoo"]


class PlannedRun(NamedTuple):
    """An experiment with a seed.

    Attributes:
        experiment: what is trained.
        seed: seed of everything random in the run.
        steps: number of steps of the run if the sweep has set it.
    """

    experiment: Experiment
    seed: int
    steps: int | None

    @property
    def folder(self) -> Path:
        """Where its run directories lie."""
        return self.experiment.folder / f"seed{self.seed}"

    @property
    def key(self) -> str:
        """Its name in sweep.json."""
        return f"{self.experiment.folder.name}/seed{self.seed}"

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.experiment.name}, seed {self.seed}"


def finished(run: PlannedRun, state: SweepState) -> Path | None:
    """The run directory of a run that is done, by itself or as sweep.json says; None for any other.

    A run on data without labels has no results to be known by.
    """
    known = state["runs"].get(run.key)
    if known is not None and known["status"] == "done" and known["directory"] is not None:
        directory = Path(known["directory"])
        if directory.is_dir():
            return directory
    return evaluated(run.folder)


def arguments(run: PlannedRun) -> list[str]:
    """The arguments of `ssl-zoo` that bring an unfinished run to its end from where it is."""
    experiment, steps = run.experiment, run.steps
    checkpoint = latest_checkpoint(run.folder)
    if checkpoint is not None and is_trained(checkpoint, experiment.settings, steps):
        settings = experiment.settings["probe"]
        options = [f"--{name}={json.dumps(value)}" for name, value in settings.items()]
        return ["probe", "--run", str(checkpoint.parents[1]), *options]
    options = [f"--seed_everything={run.seed}", f"--runs_dir={run.folder}"]
    if steps is not None:
        options += length_options(steps, experiment.settings)
    if checkpoint is not None:
        options.append(f"--resume={checkpoint.parents[1]}")
    return ["fit", *experiment.options, *options]


def newest_directory(run: PlannedRun) -> str | None:
    """The run directory that was made last."""
    found = directories(run.folder)
    return str(found[-1]) if found else None


def as_typed(args: list[str]) -> str:
    """A command as one types it."""
    return shlex.join(["ssl-zoo", *args])
