"""results.json and finetune-TASK.json, checked and typed: nothing else here trusts a file."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.evaluation.probe import PROTOCOL
from ssl_zoo.tasks.labels import CLASSES

# Before the name of a probe or a task: its balanced accuracy, which is known where classes differ in size.
BALANCED = "balanced "
# Linear probes of the last layer and of the one that validation data chooses.
LAST_LAYER, CHOSEN_LAYER = "layer:last", "layer:chosen"
# What files of older versions do not say: the task that runs are ranked by, where it is not the classes.
PHONES = "phones"

Accuracies = dict[str, float]  # mean over draws of the labels, in [0, 1], by labels per class; "all" is one of them


class Result(NamedTuple):
    """What the probes found out about one run.

    Attributes:
        method: name of its method.
        encoder: name of its encoder.
        modality: `image`, `text`, `audio`, or empty where an old file does not say.
        seed: of the run; None where the file does not say.
        parameters: of the encoder.
        source: what the data is called.
        identity: of the data, whatever it is called and wherever it lies; empty where an old file does not say.
        split: hash of the parts of the data.
        protocol: version of the evaluation.
        parts: numbers of training, validation and test examples.
        steps: optimizer steps.
        samples: examples seen.
        seconds: spent on training steps.
        flops: of the training, forward and backward; None where unknown.
        peak_memory: bytes; None where unknown.
        chance: the loss of an encoder that ignores its input; None where unknown.
        health: last values of the health figures, by name.
        tasks: besides the classes, such as `phones`; each is a probe on weighted layers, by its name in `rows`.
        main_task: the one that says most of a representation: one of `tasks`, or `classes`.
        rows: accuracies by row and by probe, those of layers among them; the first row is the run's own.
        remarks: sentences about what the numbers do not say.
        pretrained: the published weights that the run continued from; empty where it began from random ones.
    """

    method: str
    encoder: str
    modality: str
    seed: int | None
    parameters: int
    source: str
    identity: str
    split: str
    protocol: int
    parts: dict[str, int]
    steps: int
    samples: int
    seconds: float
    flops: float | None
    peak_memory: float | None
    chance: float | None
    health: dict[str, float]
    tasks: list[str]
    main_task: str
    rows: dict[str, dict[str, Accuracies]]
    remarks: list[str]
    pretrained: str = ""


class FineTuning(NamedTuple):
    """What fine-tuning one run on one task gave.

    Attributes:
        task: `classes`, `tags`, `pairs` or `spans`.
        conditions: what two results must have in common to be compared, as words by name.
        counted: what the numbers of examples mean.
        rows: accuracies by row (the run's own first), by figure and by number of examples.
    """

    task: str
    conditions: dict[str, str]
    counted: str
    rows: dict[str, dict[str, Accuracies]]


def read_result(path: Path) -> Result:
    """Reads results.json.

    Raises:
        ValueError: it is damaged, or lacks something; the message says what, without the file's name.
        OSError: it cannot be read.
    """
    record = _read(path)
    try:
        data, budget, seed = record["data"], record["budget"], record.get("seed")
        result = Result(
            method=str(record["method"]),
            encoder=str(record["encoder"]),
            modality=str(record.get("modality", "")),
            seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
            parameters=int(record["parameters"]),
            source=str(data["source"]),
            identity=str(data.get("identity", "")),
            split=str(data["split"]),
            protocol=_protocol(record["protocol"]),
            parts={part: int(data[part]) for part in ("train", "validation", "test")},
            steps=int(budget["steps"]),
            samples=int(budget["samples"]),
            seconds=_number(budget["seconds"]),
            flops=_optional(budget.get("flops")),
            peak_memory=_optional(budget.get("peak_memory")) or None,
            chance=_optional(record.get("chance_loss")),
            health={str(name): _number(value) for name, value in record.get("health", {}).items()},
            tasks=[str(task) for task in record.get("tasks", {})],
            main_task=str(record.get("main_task", PHONES if PHONES in record.get("tasks", {}) else CLASSES)),
            rows=_with_layers(_with_tasks(_rows(record["rows"]), record.get("tasks", {})), record.get("layers", {})),
            remarks=[str(remark) for remark in record.get("remarks", [])],
            pretrained=str(record.get("pretrained") or ""),
        )
        if not result.rows:
            raise ValueError("it has no rows")
        first, own = next(iter(result.rows.items()))
        if first not in (result.method, result.encoder):  # a published encoder's row has its own name
            raise ValueError(f"its first row is of {first!r}, not of the run's own encoder")
        if not any(task in own for task in result.tasks):
            own["linear"]["all"]
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error
    except (AttributeError, TypeError) as error:
        raise ValueError("its entries are not of the right kind") from error
    return result


def read_finetuning(path: Path) -> FineTuning:
    """Reads a finetune-TASK.json; errors as for `read_result`."""
    record = _read(path)
    try:
        data, budget = record["data"], record["budget"]
        return FineTuning(
            task=str(record["task"]),
            conditions={
                "protocol": f"protocol {record['protocol']}",
                "split": f"split {data['split']} of {data['source']}",
                "steps": f"{budget['steps']:,} steps",
                "epochs": f"{budget.get('epochs', 0)} epochs at least",  # protocol 1 had none
                "batch_size": f"batches of {budget['batch_size']}",
                "learning_rate": f"a learning rate of {budget['learning_rate']:g}",
            },
            counted=str(record["counted"]),
            rows=_rows(record["rows"]),
        )
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error
    except (AttributeError, TypeError) as error:
        raise ValueError("its entries are not of the right kind") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding too
        raise ValueError("it is no JSON, cut off perhaps") from error
    if not isinstance(record, dict):
        raise ValueError("it holds no entries by name")
    return record


def _protocol(value: Any) -> int:
    """A version of the evaluation that this one knows: a newer one would leave out every run that can be ranked."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} stands where the protocol of the evaluation should")
    if value > PROTOCOL:
        raise ValueError(f"it follows protocol {value}, of a newer ssl_zoo than this one, which knows {PROTOCOL}")
    return value


def _rows(rows: dict[str, Any]) -> dict[str, dict[str, Accuracies]]:
    read: dict[str, dict[str, Accuracies]] = {}
    for row, kinds in rows.items():
        own = read.setdefault(str(row), {})
        for kind, by_number in kinds.items():
            own[str(kind)] = {str(number): _share(found["mean"]) for number, found in by_number.items()}
        for kind, by_number in kinds.items():
            balanced = {
                str(number): _share(found["balanced"]["mean"])
                for number, found in by_number.items()
                if "balanced" in found
            }
            if balanced:
                own[f"{BALANCED}{kind}"] = balanced
    return read


def _with_tasks(rows: dict[str, dict[str, Accuracies]], tasks: dict[str, Any]) -> dict[str, dict[str, Accuracies]]:
    """Rows with the accuracy in every task, all labels, as one more probe; some rows are known in tasks alone."""
    for task, by_row in tasks.items():
        for row, found in by_row.items():
            rows.setdefault(str(row), {})[str(task)] = {"all": _share(found["accuracy"])}
            if "balanced" in found:
                rows[str(row)][f"{BALANCED}{task}"] = {"all": _share(found["balanced"])}
    return rows


def _with_layers(rows: dict[str, dict[str, Accuracies]], layers: dict[str, Any]) -> dict[str, dict[str, Accuracies]]:
    """Rows with the accuracy of two layers as further probes."""
    for row, found in layers.items():
        test, chosen = found["test"], found["chosen"]
        if not isinstance(chosen, int) or not 0 <= chosen < len(test):
            raise ValueError(f"{chosen!r} is none of its {len(test)} layers")
        for probe, layer in ((LAST_LAYER, -1), (CHOSEN_LAYER, chosen)):
            rows.setdefault(str(row), {})[probe] = {"all": _share(test[layer])}
    return rows


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{number:g} is no accuracy between 0 and 1")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} stands where a number should")
    return float(value)


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)
