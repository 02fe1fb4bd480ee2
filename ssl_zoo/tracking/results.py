"""What came of a run, as trackers take it: a table of all accuracies, and the run's own numbers by name."""

from pathlib import Path
from typing import Any

from ssl_zoo import metrics
from ssl_zoo.evaluation.pictures import PICTURES
from ssl_zoo.runs.files import FIGURES, VIEWS
from ssl_zoo.runs.results import ALL, Result


def picture_files() -> dict[str, str]:
    """Files of figures/ in a run's folder by the names under which they are logged; methods log their own pictures."""
    return {f"{metrics.FIGURES}/{Path(file).stem}": file for file in (VIEWS, *(f"{name}.png" for name in PICTURES))}


def pictures_in(directory: Path) -> dict[str, Path]:
    """Those of them that a run has left, by the names under which they are logged.

    Args:
        directory: folder of the run.
    """
    found = {name: directory / FIGURES / file for name, file in picture_files().items()}
    return {name: path for name, path in found.items() if path.is_file()}


def result_table(result: Result) -> tuple[list[str | int], list[list[Any]]]:
    """Columns, and a row for every accuracy in results.json, baselines and ceiling among them.

    Balanced accuracy has two columns where classes differ in size; some rows, such as a ceiling's, may lack it. Further
    tasks stand under their own names; they are evaluated once, with all labels, and have no deviation.
    """
    columns: list[str | int] = ["representation", "probe", "labels per class", "accuracy", "standard deviation"]
    rows: list[list[Any]] = []
    for row, probes in result.rows.items():
        for probe, by_labels in probes.items():
            for labels, score in by_labels.items():
                balanced = (None, None) if score.balanced is None else (score.balanced.mean, score.balanced.std)
                rows.append([row, probe, labels, score.mean, score.std, *balanced])
    for task, by_row in result.tasks.items():
        rows += [[row, task, ALL, found.accuracy, None, found.balanced, None] for row, found in by_row.items()]
    if all(row[-2] is None for row in rows):
        return columns, [row[:-2] for row in rows]
    return [*columns, "balanced accuracy", "its standard deviation"], rows


def summary_of(result: Result) -> dict[str, float]:
    """The run's own accuracies and its costs by the names of `ssl_zoo.metrics`."""
    results = {
        f"{metrics.RESULT}/{probe}/{labels}": score.mean
        for probe, by_labels in result.rows.get(result.own_row, {}).items()
        for labels, score in by_labels.items()
    }
    tasks = {f"{metrics.RESULT}/{task}": next(iter(rows.values())).accuracy for task, rows in result.tasks.items()}
    layers = {
        f"{metrics.RESULT}/layer/{which}": scores.test[layer]
        for scores in list(result.layers.values())[:1]
        for which, layer in (("last", -1), ("chosen", scores.chosen))
    }
    costs = {name: getattr(result.budget, name.removeprefix(f"{metrics.COST}/")) for name in metrics.COSTS}
    return results | tasks | layers | {name: cost for name, cost in costs.items() if cost is not None}
