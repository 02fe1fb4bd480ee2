"""What is there of a run already, and what is left to do."""

from pathlib import Path
from typing import Any

from ssl_zoo.runs.checkpoints import is_whole, read_checkpoint
from ssl_zoo.runs.files import CONFIG
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.runs.resuming import has_finished, resumable


def directories(folder: Path) -> list[Path]:
    """The run directories of one run, the oldest first: several if it was begun more than once."""
    return sorted((path.parent for path in folder.glob(f"*/*/{CONFIG}")), key=lambda directory: directory.name)


def evaluated(folder: Path) -> Path | None:
    """The run directory that has results, if there is one, whoever started the run."""
    for directory in reversed(directories(folder)):
        try:
            read_result(directory)
            return directory
        except (OSError, ValueError):  # has no results yet, or half of them
            continue
    return None


def latest_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint of the newest run directory that has one."""
    for directory in reversed(directories(folder)):
        for path in resumable(directory):
            if is_whole(path):
                return path
    return None


def is_trained(checkpoint: Path, settings: dict[str, Any], steps: int | None) -> bool:
    """Whether a checkpoint is that of a run's end, so that only its evaluation can be missing.

    Args:
        checkpoint: a checkpoint of Lightning.
        settings: settings of the run.
        steps: number of steps of the run if the sweep has set it.
    """
    max_steps = settings["trainer"]["max_steps"] if steps is None else steps
    max_epochs = settings["trainer"]["max_epochs"] if steps is None else None
    return has_finished(read_checkpoint(checkpoint), max_steps, max_epochs)
