"""Entries of the files that evaluations leave, to and from what they stand for; damage becomes a ValueError."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ssl_zoo.probes.accuracy import Score

Value = TypeVar("Value")


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes entries by name in one go, so that no interruption leaves half of them."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, path)


def read_record(path: Path, typed: Callable[[dict[str, Any]], Value]) -> Value:
    """What a file's entries stand for.

    Args:
        path: path of the file.
        typed: makes it of the entries by name.

    Raises:
        ValueError: the file is damaged, or lacks something; the message says what, without the file's name.
        OSError: it cannot be read.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding too
        raise ValueError("it is no JSON, cut off perhaps") from error
    if not isinstance(record, dict):
        raise ValueError("it holds no entries by name")
    try:
        return typed(record)
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error
    except (AttributeError, TypeError) as error:
        raise ValueError("its entries are not of the right kind") from error


def nested(entries: Mapping[str, Any], depth: int, make: Callable[[Any], Value]) -> dict[str, Any]:
    """Entries in entries, those inside made anew."""
    if depth == 1:
        return {str(name): make(entry) for name, entry in entries.items()}
    return {str(name): nested(entry, depth - 1, make) for name, entry in entries.items()}


def read_score(found: Mapping[str, Any]) -> Score:
    """A score of its entries, those of earlier versions too."""
    mean = read_share(found["mean"])
    balanced = found.get("balanced")
    return Score(
        mean,
        read_number(found.get("std", 0.0)),
        [read_share(draw) for draw in found.get("draws", [mean])],
        None if balanced is None else read_score(balanced),
        found.get("chosen"),
    )


def score_entries(score: Score) -> dict[str, Any]:
    """The entries of a score."""
    entries = without_unknown(score._asdict(), "balanced", "chosen")
    return entries if score.balanced is None else {**entries, "balanced": score_entries(score.balanced)}


def without_unknown(entries: dict[str, Any], *names: str) -> dict[str, Any]:
    """Entries without those of `names` that say nothing."""
    return {name: entry for name, entry in entries.items() if name not in names or entry not in (None, [], "")}


def read_share(value: Any) -> float:
    """An accuracy in [0, 1] of a file, or ValueError with what stands there instead."""
    number = read_number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{number:g} is no accuracy between 0 and 1")
    return number


def read_number(value: Any) -> float:
    """A finite number of a file, or ValueError with what stands there instead."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} stands where a number should")
    return float(value)


def read_optional(value: Any) -> float | None:
    """A number of a file that may be unknown; ValueError as `read_number`."""
    return None if value is None else read_number(value)
