"""What is compared of runs: the accuracies of results.json and of finetune-TASK.json, by row and by probe."""

from pathlib import Path
from typing import NamedTuple

from ssl_zoo.probes.accuracy import Score
from ssl_zoo.runs.fine_tuned import read_fine_tuned
from ssl_zoo.runs.results import ALL, Result

# Before the name of a probe or a task: its balanced accuracy, which is known where classes differ in size.
BALANCED = "balanced "
# Linear probes of the last layer and of the one that validation data chooses.
LAST_LAYER, CHOSEN_LAYER = "layer:last", "layer:chosen"

Accuracies = dict[str, float]  # mean over draws of the labels, in [0, 1], by labels per class; "all" is one of them


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


def parts_of(result: Result) -> dict[str, int]:
    """Numbers of training, validation and test examples."""
    return {"train": result.data.train, "validation": result.data.validation, "test": result.data.test}


def read_finetuning(path: Path) -> FineTuning:
    """What is compared of a finetune-TASK.json; errors as `ssl_zoo.runs.fine_tuned.read_fine_tuned`."""
    found = read_fine_tuned(path)
    data, budget = found.data, found.budget
    return FineTuning(
        task=found.task,
        conditions={
            "protocol": f"protocol {found.protocol}",
            "split": f"split {data.split} of {data.source}",
            "steps": f"{budget.steps:,} steps",
            "epochs": f"{budget.epochs} epochs at least",
            "batch_size": f"batches of {budget.batch_size}",
            "learning_rate": f"a learning rate of {budget.learning_rate:g}",
            "layer_decay": f"a layer decay of {budget.layer_decay:g}",
        },
        counted=found.counted,
        rows={row: _means(figures) for row, figures in found.rows.items()},
    )


def _means(probes: dict[str, dict[str, Score]]) -> dict[str, Accuracies]:
    """Accuracies by probe or figure: where classes differ in size, balanced ones are further probes."""
    own = {probe: {labels: score.mean for labels, score in by_labels.items()} for probe, by_labels in probes.items()}
    for probe, by_labels in probes.items():
        balanced = {labels: score.balanced.mean for labels, score in by_labels.items() if score.balanced}
        if balanced:
            own[f"{BALANCED}{probe}"] = balanced
    return own


def as_probes(found: Result) -> dict[str, dict[str, Accuracies]]:
    """Accuracies by row and by probe, the run's own row first.

    Balanced ones, tasks and two layers are further probes with all labels.
    """
    rows = {row: _means(probes) for row, probes in found.rows.items()}
    for task, by_row in found.tasks.items():
        for row, task_score in by_row.items():  # some rows are known in tasks alone
            rows.setdefault(row, {})[task] = {ALL: task_score.accuracy}
            if task_score.balanced is not None:
                rows[row][f"{BALANCED}{task}"] = {ALL: task_score.balanced}
    for row, layers in found.layers.items():
        rows.setdefault(row, {})[LAST_LAYER] = {ALL: layers.test[-1]}
        rows[row][CHOSEN_LAYER] = {ALL: layers.test[layers.chosen]}
    return rows or {found.own_row: {}}  # without labels there is no accuracy, but health and a loss
