"""What is compared of runs: results.json with accuracies alone, and finetune-TASK.json, checked and typed."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.runs import results
from ssl_zoo.runs.result_file import read_result, read_share
from ssl_zoo.runs.results import ALL

# Before the name of a probe or a task: its balanced accuracy, which is known where classes differ in size.
BALANCED = "balanced "
# Linear probes of the last layer and of the one that validation data chooses.
LAST_LAYER, CHOSEN_LAYER = "layer:last", "layer:chosen"

Accuracies = dict[str, float]  # mean over draws of the labels, in [0, 1], by labels per class; "all" is one of them


class Result(NamedTuple):
    """What the probes found out about one run, flat.

    Attributes:
        method: name of its method.
        encoder: name of its encoder.
        modality: `image`, `text`, `audio`, or empty where an old file does not say.
        seed: seed of the run; None where the file does not say.
        parameters: number of parameters of the encoder.
        source: what the data is called.
        identity: identity of the data, whatever it is called and wherever it lies; empty where an old file does not
            say.
        split: hash of the parts of the data.
        protocol: version of the evaluation.
        parts: numbers of training, validation and test examples.
        steps: optimizer steps.
        samples: examples seen.
        seconds: spent on training steps.
        flops: FLOPs of the training, forward and backward; None where unknown.
        peak_memory: bytes; None where unknown.
        chance: the loss of an encoder that ignores its input; None where unknown.
        health: last values of the health figures, by name.
        tasks: besides the classes, such as `phones`; each is a probe on weighted layers, by its name in `rows`.
        tested: how many test labels a further task has, by task; some old files do not say.
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
    tested: dict[str, int]
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


def comparable(directory: Path) -> Result:
    """What is compared of a run's results.json; errors as `ssl_zoo.runs.result_file.read_result`."""
    found = read_result(directory)
    return Result(
        method=found.method,
        encoder=found.encoder,
        modality=found.modality,
        seed=found.seed,
        parameters=found.parameters,
        source=found.data.source,
        identity=found.data.identity,
        split=found.data.split,
        protocol=found.protocol,
        parts={"train": found.data.train, "validation": found.data.validation, "test": found.data.test},
        steps=found.budget.steps,
        samples=found.budget.samples,
        seconds=found.budget.seconds,
        flops=found.budget.flops,
        peak_memory=found.budget.peak_memory,
        chance=found.chance_loss,
        health=found.health,
        tasks=list(found.tasks),
        tested={task: sizes["test"] for task, sizes in found.task_sizes.items() if "test" in sizes},
        main_task=found.main_task,
        rows=_as_probes(found),
        remarks=found.remarks,
        pretrained=found.pretrained,
    )


def read_finetuning(path: Path) -> FineTuning:
    """Reads a finetune-TASK.json; errors as for `comparable`."""
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


def _rows(rows: dict[str, Any]) -> dict[str, dict[str, Accuracies]]:
    read: dict[str, dict[str, Accuracies]] = {}
    for row, kinds in rows.items():
        own = read.setdefault(str(row), {})
        for kind, by_number in kinds.items():
            own[str(kind)] = {str(number): read_share(found["mean"]) for number, found in by_number.items()}
        for kind, by_number in kinds.items():
            balanced = {
                str(number): read_share(found["balanced"]["mean"])
                for number, found in by_number.items()
                if "balanced" in found
            }
            if balanced:
                own[f"{BALANCED}{kind}"] = balanced
    return read


def _as_probes(found: results.Result) -> dict[str, dict[str, Accuracies]]:
    """Accuracies by row and by probe: balanced ones, tasks and two layers are further probes with all labels."""
    rows: dict[str, dict[str, Accuracies]] = {}
    for row, probes in found.rows.items():
        own = rows.setdefault(row, {})
        for probe, by_labels in probes.items():
            own[probe] = {labels: score.mean for labels, score in by_labels.items()}
        for probe, by_labels in probes.items():
            balanced = {labels: score.balanced.mean for labels, score in by_labels.items() if score.balanced}
            if balanced:
                own[f"{BALANCED}{probe}"] = balanced
    for task, by_row in found.tasks.items():
        for row, task_score in by_row.items():  # some rows are known in tasks alone
            rows.setdefault(row, {})[task] = {ALL: task_score.accuracy}
            if task_score.balanced is not None:
                rows[row][f"{BALANCED}{task}"] = {ALL: task_score.balanced}
    for row, layers in found.layers.items():
        rows.setdefault(row, {})[LAST_LAYER] = {ALL: layers.test[-1]}
        rows[row][CHOSEN_LAYER] = {ALL: layers.test[layers.chosen]}
    return rows
