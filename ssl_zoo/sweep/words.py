"""How a sweep speaks of time and of results."""

import json
from pathlib import Path
from typing import Any


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def outcome(directory: Path) -> str:
    """What a finished run came to, in a few words."""
    try:
        record: Any = json.loads((directory / "results.json").read_text(encoding="utf-8"))
        budget, accuracy = record["budget"], record["rows"][record["method"]]["linear"]["all"]["mean"]
        trained = f"{budget['steps']:,} steps in {clock(budget['seconds'])}"
        return f"{trained}, linear probe {100 * accuracy:.1f} %"
    except (OSError, ValueError, KeyError):
        return "trained, not probed"
