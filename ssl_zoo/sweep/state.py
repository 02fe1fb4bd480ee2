"""What a sweep remembers between two calls, in sweep.json."""

import json
import os
from pathlib import Path
from typing import Any, Literal, TypedDict

from ssl_zoo.errors import InputError

FILE = "sweep.json"

Status = Literal["running", "done", "failed", "interrupted"]


class RunState(TypedDict):
    """One run: an experiment with a seed.

    Attributes:
        status: what became of it last.
        directory: directory of the run, once there is one.
        log: file with what it printed.
        command: command that the run was last started with.
    """

    status: Status
    directory: str | None
    log: str
    command: str


class SweepState(TypedDict):
    """All of it.

    Attributes:
        steps_per_second: measured, by the name of an experiment's folder.
        runs: runs by experiment's folder and seed, `simclr-1a2b3c4d/seed0`.
    """

    steps_per_second: dict[str, float]
    runs: dict[str, RunState]


def read_state(folder: Path) -> SweepState:
    """What is known of the sweep in `folder`; nothing when it is new.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return {"steps_per_second": {}, "runs": {}}
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return {"steps_per_second": dict(content["steps_per_second"]), "runs": dict(content["runs"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"sweep: {path} is damaged; remove it, and finished runs are still found by their folders."
        ) from error


def write_state(folder: Path, state: SweepState) -> None:
    """Replaces sweep.json in one go, so that no interruption leaves half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{FILE}.new"
    draft.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, folder / FILE)
