"""What fine-tuning a run gave, typed; finetune-TASK.json is written and read here and nowhere else."""

from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.runs.entries import nested, read_number, read_record, read_score, score_entries, write_record
from ssl_zoo.runs.files import fine_tuned
from ssl_zoo.runs.results import Rows

# Raised whenever a change makes numbers incomparable with earlier ones.
PROTOCOL = 2


class Pretraining(NamedTuple):
    """What the encoder was trained on before.

    Attributes:
        source: what the data is called.
        split: hash of its parts.
        steps: optimizer steps.
        samples: examples seen.
        seconds: spent on training steps.
    """

    source: str = ""
    split: str = ""
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0


class TaskData(NamedTuple):
    """The labelled examples.

    Attributes:
        source: what they are called.
        split: equal for two results exactly when they were trained and tested on the same examples.
        train: number of training examples; 0 where an old file does not say.
        test: number of test examples; 0 where an old file does not say.
        left_out: training and test examples that were too long.
    """

    source: str
    split: str
    train: int = 0
    test: int = 0
    left_out: tuple[int, int] = (0, 0)


class TuningBudget(NamedTuple):
    """How every encoder was fine-tuned.

    Attributes:
        steps: optimizer steps, at least.
        batch_size: examples per step.
        learning_rate: the highest one.
        layer_decay: factor of the learning rate for each layer down from the top of the encoder.
        epochs: passes over the examples, at least.
        steps_by_number: optimizer steps that were taken, by number of examples.
        weight_decay: weight decay of matrices and kernels.
        warmup: part of the steps over which the learning rate rises.
        clip: the largest norm of all gradients together.
        precision: the Trainer's.
        device: `cuda` or `cpu`; empty where an old file does not say.
    """

    steps: int
    batch_size: int
    learning_rate: float
    layer_decay: float = 1.0
    epochs: int = 0
    steps_by_number: dict[str, int] = {}  # noqa: RUF012  # a tuple's default, and never changed
    weight_decay: float = 0.0
    warmup: float = 0.0
    clip: float = 0.0
    precision: str = ""
    device: str = ""


class FineTuned(NamedTuple):
    """What fine-tuning one run on one task gave.

    Attributes:
        protocol: version of the fine-tuning.
        task: `classes` or another task of the run's data, `tags`, `pairs` or `spans`.
        counted: what a number of training examples means, `labels per class` or `examples`.
        data: the labelled examples.
        budget: how every encoder was fine-tuned.
        rows: figures by row (the run's own first), by figure and by number of examples.
        remarks: sentences about what the numbers do not say.
        seeds: seeds of the draws.
        version: version of this package.
        run: name of the run's folder.
        experiment: name of the folder above.
        method: name of the run's method.
        encoder: name of its encoder.
        parameters: number of parameters of the encoder; 0 where an old file does not say.
        pretraining: what the encoder was trained on before.
    """

    protocol: int
    task: str
    counted: str
    data: TaskData
    budget: TuningBudget
    rows: Rows
    remarks: list[str]
    seeds: list[int]
    version: str = ""
    run: str = ""
    experiment: str = ""
    method: str = ""
    encoder: str = ""
    parameters: int = 0
    pretraining: Pretraining = Pretraining()


def write_fine_tuned(directory: Path, found: FineTuned) -> Path:
    """Writes finetune-TASK.json in one go; returns its path.

    Args:
        directory: folder of the run; exists.
        found: what it is to hold.
    """
    record: dict[str, Any] = found._asdict()
    for part in ("data", "budget", "pretraining"):
        record[part] = record[part]._asdict()
    record["rows"] = nested(found.rows, 3, score_entries)
    path = fine_tuned(directory, found.task)
    write_record(path, record)
    return path


def read_fine_tuned(path: Path) -> FineTuned:
    """Reads a finetune-TASK.json, those of earlier versions too; errors as `ssl_zoo.runs.result_file.read_result`."""
    return read_record(path, _typed)


def _typed(record: dict[str, Any]) -> FineTuned:
    data, budget, before = record["data"], record["budget"], record.get("pretraining", {})
    train_left_out, test_left_out = data.get("left_out", (0, 0))
    return FineTuned(
        protocol=int(record["protocol"]),
        task=str(record["task"]),
        counted=str(record["counted"]),
        data=TaskData(
            str(data["source"]),
            str(data["split"]),
            int(data.get("train", 0)),
            int(data.get("test", 0)),
            (int(train_left_out), int(test_left_out)),
        ),
        budget=TuningBudget(
            steps=int(budget["steps"]),
            batch_size=int(budget["batch_size"]),
            learning_rate=read_number(budget["learning_rate"]),
            layer_decay=read_number(budget.get("layer_decay", 1.0)),
            epochs=int(budget.get("epochs", 0)),  # protocol 1 had none
            steps_by_number={str(number): int(steps) for number, steps in budget.get("steps_by_number", {}).items()},
            weight_decay=read_number(budget.get("weight_decay", 0.0)),
            warmup=read_number(budget.get("warmup", 0.0)),
            clip=read_number(budget.get("clip", 0.0)),
            precision=str(budget.get("precision", "")),
            device=str(budget.get("device", "")),
        ),
        rows=nested(record["rows"], 3, read_score),
        remarks=[str(remark) for remark in record.get("remarks", [])],
        seeds=[int(seed) for seed in record.get("seeds", [])],
        version=str(record.get("version", "")),
        run=str(record.get("run", "")),
        experiment=str(record.get("experiment", "")),
        method=str(record.get("method", "")),
        encoder=str(record.get("encoder", "")),
        parameters=int(record.get("parameters", 0)),
        pretraining=Pretraining(
            str(before.get("source", "")),
            str(before.get("split", "")),
            int(before.get("steps", 0)),
            int(before.get("samples", 0)),
            read_number(before.get("seconds", 0.0)),
        ),
    )
