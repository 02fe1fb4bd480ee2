"""What results.json holds, as tables in the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from ssl_zoo.tasks.labels import CLASSES

BALANCED = "balanced"


def title(record: dict[str, Any]) -> str:
    """What was evaluated, and after what training."""
    data, budget = record["data"], record["budget"]
    if budget["steps"] == 0:
        return f"{record['encoder']} as published, on {data['source']}"
    return f"{record['method']} on {data['source']} after {budget['samples']:,} examples in {budget['seconds']:.0f} s"


def print_table(record: dict[str, Any]) -> None:
    """Prints the accuracies of results.json by labels per class."""
    columns = list(next(iter(record["rows"].values()))["linear"])
    caption = "test accuracy in %, ± standard deviation over draws of the labels"
    if any(BALANCED in found for row in record["rows"].values() for kind in row.values() for found in kind.values()):
        caption += "; balanced: the mean accuracy over classes, which differ in size"
    main = record.get("main_task", CLASSES)
    if main != CLASSES:
        caption += f"; rank by {main}, which says more of a representation here"
    table = Table(title=title(record), caption=caption)
    table.add_column("representation")
    table.add_column("probe")
    for labels in columns:
        table.add_column(labels, justify="right", no_wrap=True)
    for row, probes in record["rows"].items():
        lines = _lines(probes, columns)
        for place, (kind, cells) in enumerate(lines):
            table.add_row(row if place == 0 else "", kind, *cells, end_section=place == len(lines) - 1)
    Console().print(table)
    for remark in record.get("remarks", []):
        Console(soft_wrap=True).print(remark, highlight=False, markup=False)


def print_layers(record: dict[str, Any]) -> None:
    """Prints what the last layer and the one that validation data chooses reach, and every layer."""
    table = Table(
        title=f"{title(record)}: layer by layer",
        caption="test accuracy in % of a linear probe with all labels of at most 10,000 examples, on the mean over a "
        "layer's places; layer 0 is what enters the first one; validation data chooses, never the test part",
    )
    for column in ("representation", "last", "chosen", "layer", "from the first to the last"):
        table.add_column(column, justify="left" if column == "representation" else "right")
    for row, found in record["layers"].items():
        test, chosen = found["test"], found["chosen"]
        every = " ".join(f"{100 * accuracy:.1f}" for accuracy in test)
        table.add_row(row, f"{100 * test[-1]:.1f}", f"{100 * test[chosen]:.1f}", str(chosen), every)
    Console().print(table)


def print_tasks(record: dict[str, Any]) -> None:
    """Prints the accuracies of results.json in tasks besides the classes, and what each layer counts."""
    table = Table(
        title=title(record),
        caption="test accuracy in % of a linear probe on a weighted sum of layers; their weights in %, first to last",
    )
    table.add_column("task")
    table.add_column("representation")
    table.add_column("accuracy", justify="right")
    table.add_column(BALANCED, justify="right")
    table.add_column("layers", justify="right")
    for task, rows in record["tasks"].items():
        sizes = record["task_sizes"][task]
        heading = f"{task}, {sizes['classes']} classes, {sizes['train']:,} to train and {sizes['test']:,} to test"
        for row, found in rows.items():
            shares = found.get("layers", [])
            layers = " ".join(f"{100 * share:.0f}" for share in shares) if len(shares) > 1 else ""
            balanced = f"{100 * found[BALANCED]:.1f}" if BALANCED in found else ""
            accuracy = f"{100 * found['accuracy']:.1f}"
            table.add_row(heading, row, accuracy, balanced, layers, end_section=row == list(rows)[-1])
            heading = ""
    Console().print(table)


def _lines(probes: dict[str, Any], columns: list[str]) -> list[tuple[str, list[str]]]:
    """Every probe's cells, and where classes differ in size those of its balanced accuracy below it."""
    lines = []
    for kind, by_labels in probes.items():
        lines.append((kind, [_cell(by_labels.get(labels)) for labels in columns]))
        balanced = [by_labels.get(labels, {}).get(BALANCED) for labels in columns]
        if any(balanced):
            lines.append((f"  {BALANCED}", [_cell(found) for found in balanced]))
    return lines


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    spread = f" ±{100 * found['std']:4.1f}" if len(found["draws"]) > 1 else ""
    return f"{100 * found['mean']:.1f}{spread}"
