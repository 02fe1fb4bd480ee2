"""results.json of a run: written and read here and nowhere else."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ssl_zoo.runs.files import RESULTS
from ssl_zoo.runs.results import (
    ALL,
    LINEAR,
    PHONES,
    PROTOCOL,
    Budget,
    LayerScores,
    Parts,
    Result,
    Rows,
    Score,
    TaskScore,
)
from ssl_zoo.tasks.labels import CLASSES

Value = TypeVar("Value")


def write_result(directory: Path, result: Result) -> None:
    """Writes results.json in one go, so that no interruption leaves half of it.

    Args:
        directory: folder of the run; exists.
        result: what it is to hold.
    """
    record: dict[str, Any] = result._asdict()
    record["data"], record["budget"] = result.data._asdict(), _without_unknown(result.budget._asdict(), "hardware")
    record["rows"] = _nested(result.rows, 3, _score_entries)
    for name, entries in {
        "tasks": _nested(result.tasks, 2, lambda score: _without_unknown(score._asdict(), "balanced", "layers")),
        "task_sizes": result.task_sizes,
        "layers": {row: scores._asdict() for row, scores in result.layers.items()},
    }.items():
        if entries:
            record[name] = entries
        else:
            del record[name]
    draft = directory / f"{RESULTS}.new"
    draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, directory / RESULTS)


def read_result(directory: Path) -> Result:
    """Reads results.json, those of earlier versions too.

    Args:
        directory: folder of the run.

    Raises:
        ValueError: it is damaged, or lacks something; the message says what, without the file's name.
        OSError: it cannot be read.
    """
    try:
        record = json.loads((directory / RESULTS).read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding too
        raise ValueError("it is no JSON, cut off perhaps") from error
    if not isinstance(record, dict):
        raise ValueError("it holds no entries by name")
    try:
        result = _typed(record)
        if not result.rows and not result.tasks:
            raise ValueError("it has no rows")
        if result.own_row not in (result.method, result.encoder):  # a published encoder's row has its own name
            raise ValueError(f"its first row is of {result.own_row!r}, not of the run's own encoder")
        if not any(result.own_row in rows for rows in result.tasks.values()):
            result.rows[result.own_row][LINEAR][ALL]
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error
    except (AttributeError, TypeError) as error:
        raise ValueError("its entries are not of the right kind") from error
    return result


def typed_rows(rows: Mapping[str, Any]) -> Rows:
    """Rows of scores, of the entries by name that probes return and files hold."""
    return _nested(rows, 3, _score)


def typed_tasks(tasks: Mapping[str, Any]) -> dict[str, dict[str, TaskScore]]:
    """Scores in tasks, of the entries by name that probes return and files hold."""
    return _nested(tasks, 2, _task_score)


def _typed(record: dict[str, Any]) -> Result:
    data, budget, seed = record["data"], record["budget"], record.get("seed")
    tasks = typed_tasks(record.get("tasks", {}))
    return Result(
        protocol=_protocol(record["protocol"]),
        run=str(record.get("run", "")),
        experiment=str(record.get("experiment", "")),
        method=str(record["method"]),
        encoder=str(record["encoder"]),
        modality=str(record.get("modality", "")),
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        pretrained=str(record.get("pretrained") or ""),
        parameters=int(record["parameters"]),
        data=Parts(
            source=str(data["source"]),
            identity=str(data.get("identity", "")),
            split=str(data["split"]),
            train=int(data["train"]),
            validation=int(data["validation"]),
            test=int(data["test"]),
        ),
        budget=Budget(
            steps=int(budget["steps"]),
            samples=int(budget["samples"]),
            seconds=read_number(budget["seconds"]),
            flops=_optional(budget.get("flops")),
            peak_memory=_optional(budget.get("peak_memory")) or None,
            hardware=str(budget.get("hardware", "")),
        ),
        chance_loss=_optional(record.get("chance_loss")),
        health={str(name): read_number(value) for name, value in record.get("health", {}).items()},
        remarks=[str(remark) for remark in record.get("remarks", [])],
        rows=typed_rows(record["rows"]),
        tasks=tasks,
        task_sizes=record.get("task_sizes", {}),
        layers={str(row): _layer_scores(found) for row, found in record.get("layers", {}).items()},
        main_task=str(record.get("main_task", PHONES if PHONES in tasks else CLASSES)),
    )


def _nested(entries: Mapping[str, Any], depth: int, make: Callable[[Any], Value]) -> dict[str, Any]:
    """Entries in entries, those inside made anew."""
    if depth == 1:
        return {str(name): make(entry) for name, entry in entries.items()}
    return {str(name): _nested(entry, depth - 1, make) for name, entry in entries.items()}


def _score(found: Mapping[str, Any]) -> Score:
    mean = read_share(found["mean"])
    balanced = found.get("balanced")
    return Score(
        mean,
        read_number(found.get("std", 0.0)),
        [read_share(draw) for draw in found.get("draws", [mean])],
        None if balanced is None else _score(balanced),
        found.get("chosen"),
    )


def _score_entries(score: Score) -> dict[str, Any]:
    entries = _without_unknown(score._asdict(), "balanced", "chosen")
    return entries if score.balanced is None else {**entries, "balanced": _score_entries(score.balanced)}


def _task_score(found: Mapping[str, Any]) -> TaskScore:
    balanced = found.get("balanced")
    layers = [read_number(share) for share in found.get("layers", [])]
    return TaskScore(read_share(found["accuracy"]), None if balanced is None else read_share(balanced), layers)


def _layer_scores(found: Mapping[str, Any]) -> LayerScores:
    test, chosen = [read_share(each) for each in found["test"]], found["chosen"]
    if not isinstance(chosen, int) or not 0 <= chosen < len(test):
        raise ValueError(f"{chosen!r} is none of its {len(test)} layers")
    return LayerScores([read_share(each) for each in found["validation"]], test, chosen)


def _without_unknown(entries: dict[str, Any], *names: str) -> dict[str, Any]:
    """Entries without those of `names` that say nothing."""
    return {name: entry for name, entry in entries.items() if name not in names or entry not in (None, [], "")}


def _protocol(value: Any) -> int:
    """A version of the evaluation that this one knows: a newer one would leave out every run that can be ranked."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} stands where the protocol of the evaluation should")
    if value > PROTOCOL:
        raise ValueError(f"it follows protocol {value}, of a newer ssl_zoo than this one, which knows {PROTOCOL}")
    return value


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


def _optional(value: Any) -> float | None:
    return None if value is None else read_number(value)
