"""What every run logs to Weights & Biases, under the same names: what it is, what counts of it, and what came of it."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import WandbLogger

from ssl_zoo import metrics
from ssl_zoo.data.base import data_of
from ssl_zoo.methods.base import Method


def has_wandb_key() -> bool:
    """Whether W&B knows who is logging, without asking; with `WANDB_MODE=offline` it need not."""
    import wandb

    try:
        return bool(wandb.login(prompt=False))
    except wandb.errors.UsageError:  # so wandb answers where there is no key
        return False


def wandb_id(directory: Path) -> str | None:
    """The id under which W&B knows a run from earlier starts; None where it does not know it.

    Args:
        directory: of the run.
    """
    newest = max(directory.glob("wandb/*run-*-*"), key=lambda path: path.stat().st_mtime, default=None)
    return None if newest is None else newest.name.split("-", 3 if newest.name.startswith("offline") else 2)[-1]


def wandb_runs(trainer: L.Trainer) -> list[Any]:
    """The open W&B runs of a trainer; only the first process of several has some."""
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def log_settings(trainer: L.Trainer, method: Method, settings: dict[str, Any]) -> None:
    """Hands over the settings, tags, and how a curve becomes the one number of a table.

    Config and tags have the method, the modality, the encoder and the data set, for grouping and filtering; the
    config has the hash of the data's split too, because runs with different ones must not be compared.

    Args:
        trainer: with the data set up.
        method: to be trained.
        settings: as in config.yaml.
    """
    data = data_of(trainer)
    facts = {
        "method": type(method).__name__,
        "modality": method.encoder.modality,
        "encoder": type(method.encoder).__name__,
        "data_set": data.source_name,  # Lightning has its own `source`: the settings of the data module
    }
    for run in wandb_runs(trainer):
        run.config.update({**settings, **facts, "split": data.split_hash}, allow_val_change=True)
        run.tags = tuple(dict.fromkeys([*run.tags, *facts.values()]))
        for name, summary in metrics.SUMMARIES.items():
            run.define_metric(name, step_metric=metrics.STEP, step_sync=True, summary=summary)


def log_results(trainer: L.Trainer, directory: Path) -> None:
    """Hands over what a run has left in its directory: the probes' results, what they cost, the pictures.

    Args:
        trainer: that has trained.
        directory: of the run; without results.json, as where there are no labels, only pictures are handed over.
    """
    import wandb

    path = directory / "results.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    pictures = {
        name: directory / "figures" / f"{name.removeprefix(f'{metrics.FIGURES}/')}.png" for name in metrics.PICTURES
    }
    for run in wandb_runs(trainer):
        run.log({name: wandb.Image(str(file)) for name, file in pictures.items() if file.is_file()})
        if record is not None:
            columns, rows = result_table(record)
            run.log({metrics.RESULT_TABLE: wandb.Table(columns, rows)})
            run.summary.update(summary_of(record))


def result_table(record: dict[str, Any]) -> tuple[list[str | int], list[list[Any]]]:
    """Columns, and a row for every accuracy in results.json, baselines and ceiling among them.

    Balanced accuracy has two columns where classes differ in size; some rows, such as a ceiling's, may lack it. Further
    tasks stand under their own names; they are evaluated once, with all labels, and have no deviation.
    """
    entries = [
        (row, probe, labels, found)
        for row, probes in record["rows"].items()
        for probe, by_labels in probes.items()
        for labels, found in by_labels.items()
    ]
    entries += [
        (row, task, "all", {**found, "mean": found["accuracy"]})
        for task, by_row in record.get("tasks", {}).items()
        for row, found in by_row.items()
    ]
    columns: list[str | int] = ["representation", "probe", "labels per class", "accuracy", "standard deviation"]
    rows = [[row, probe, labels, found["mean"], found.get("std")] for row, probe, labels, found in entries]
    if any("balanced" in found for *_, found in entries):
        columns += ["balanced accuracy", "its standard deviation"]
        for cells, (*_, found) in zip(rows, entries, strict=True):
            balanced = found.get("balanced", {})
            alone = not isinstance(balanced, dict)  # of a task
            cells += [balanced, None] if alone else [balanced.get("mean"), balanced.get("std")]
    return columns, rows


def summary_of(record: dict[str, Any]) -> dict[str, float]:
    """The run's own accuracies and its costs by the names of `ssl_zoo.metrics`; the first rows are the run's own."""
    results = {
        f"{metrics.RESULT}/{probe}/{labels}": found["mean"]
        for probes in list(record["rows"].values())[:1]  # there is none where the data has no classes
        for probe, by_labels in probes.items()
        for labels, found in by_labels.items()
    }
    tasks = {
        f"{metrics.RESULT}/{task}": next(iter(rows.values()))["accuracy"]
        for task, rows in record.get("tasks", {}).items()
    }
    layers = {
        f"{metrics.RESULT}/layer/{which}": found["test"][layer]
        for found in list(record.get("layers", {}).values())[:1]
        for which, layer in (("last", -1), ("chosen", found["chosen"]))
    }
    costs = {name: record["budget"].get(name.removeprefix(f"{metrics.COST}/")) for name in metrics.COSTS}
    return results | tasks | layers | {name: cost for name, cost in costs.items() if cost is not None}


def close_wandb() -> None:
    """Ends the W&B run of this process, if there is one: another command must not write into it."""
    module = sys.modules.get("wandb")
    if module is not None and module.run is not None:
        module.finish()
