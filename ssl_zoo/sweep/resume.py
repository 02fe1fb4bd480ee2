"""What is there of a run already, and what is left to do."""

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

CONFIG, METRICS, RESULTS = "config.yaml", "metrics.csv", "results.json"


def directories(folder: Path) -> list[Path]:
    """The run directories of one run, the oldest first: after an interruption there are several."""
    return sorted((path.parent for path in folder.glob(f"*/*/{CONFIG}")), key=lambda directory: directory.name)


def judged(folder: Path) -> Path | None:
    """The run directory that has results, if there is one, whoever started the run."""
    for directory in reversed(directories(folder)):
        try:
            json.loads((directory / RESULTS).read_text(encoding="utf-8"))
            return directory
        except (OSError, ValueError):
            continue
    return None


def latest_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint of the newest run directory that has one."""
    for directory in reversed(directories(folder)):
        found = sorted(directory.glob("checkpoints/*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found:
            if zipfile.is_zipfile(path):  # the list of contents is at the end: half a file has none
                return path
    return None


def is_trained(checkpoint: Path, settings: dict[str, Any], steps: int | None) -> bool:
    """Whether a checkpoint is that of a run's end, so that only its evaluation can be missing.

    Args:
        checkpoint: of Lightning.
        settings: of the run.
        steps: its length if the sweep has set it.
    """
    content = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    max_steps = settings["trainer"]["max_steps"] if steps is None else steps
    max_epochs = settings["trainer"]["max_epochs"] if steps is None else None
    epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]["completed"]
    return (0 <= max_steps <= content["global_step"]) or (max_epochs is not None and 0 <= max_epochs <= epochs)


def join_metrics(parts: list[Path]) -> None:
    """Puts what the interrupted parts of a run have logged in front of what its last part has.

    Steps that were logged twice, because an interruption threw them back, count as the later part has them.

    Args:
        parts: run directories, the oldest first; only the last one's metrics.csv changes.
    """
    rows: list[dict[str, str]] = []
    for path in (directory / METRICS for directory in parts):
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                added = list(csv.DictReader(file))
            first = min((int(row["step"]) for row in added), default=None)
            rows = [row for row in rows if first is None or int(row["step"]) < first] + added
    names = list(dict.fromkeys(name for row in rows for name in row))
    draft = parts[-1] / f"{METRICS}.new"
    with draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    os.replace(draft, parts[-1] / METRICS)
