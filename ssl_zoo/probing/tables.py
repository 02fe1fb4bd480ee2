"""What results.json holds, as tables in the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from ssl_zoo.probing.speech import PHONES, STATISTICS


def title(record: dict[str, Any]) -> str:
    """What was judged, and after what training."""
    data, budget = record["data"], record["budget"]
    if budget["steps"] == 0:
        return f"{record['encoder']} as published, on {data['source']}"
    return f"{record['method']} on {data['source']} after {budget['samples']:,} examples in {budget['seconds']:.0f} s"


def print_table(record: dict[str, Any]) -> None:
    """Prints the accuracies of results.json by labels per class."""
    columns = list(next(iter(record["rows"].values()))["linear"])
    caption = "test accuracy in %, ± standard deviation over draws of the labels"
    if PHONES in record.get("tasks", {}):
        caption += f"; voice and channel may tell classes apart, as far as {STATISTICS} do: rank by phones"
    table = Table(title=title(record), caption=caption)
    table.add_column("representation")
    table.add_column("probe")
    for labels in columns:
        table.add_column(labels, justify="right", no_wrap=True)
    for row, probes in record["rows"].items():
        for kind, by_labels in probes.items():
            cells = [_cell(by_labels[labels]) if labels in by_labels else "" for labels in columns]
            table.add_row(row if kind == "linear" else "", kind, *cells, end_section=kind == list(probes)[-1])
    Console().print(table)


def print_tasks(record: dict[str, Any]) -> None:
    """Prints the accuracies of results.json in the tasks of speech, and what each layer counts."""
    table = Table(
        title=title(record),
        caption="test accuracy in % of a linear probe on a weighted sum of layers; their weights in %, first to last",
    )
    table.add_column("task")
    table.add_column("representation")
    table.add_column("accuracy", justify="right")
    table.add_column("layers", justify="right")
    for task, rows in record["tasks"].items():
        sizes = record["task_sizes"][task]
        heading = f"{task}, {sizes['classes']} classes, {sizes['train']:,} to train and {sizes['test']:,} to test"
        for row, found in rows.items():
            shares = found.get("layers", [])
            layers = " ".join(f"{100 * share:.0f}" for share in shares) if len(shares) > 1 else ""
            table.add_row(heading, row, f"{100 * found['accuracy']:.1f}", layers, end_section=row == list(rows)[-1])
            heading = ""
    Console().print(table)


def _cell(found: dict[str, Any]) -> str:
    spread = f" ±{100 * found['std']:4.1f}" if len(found["draws"]) > 1 else ""
    return f"{100 * found['mean']:.1f}{spread}"
