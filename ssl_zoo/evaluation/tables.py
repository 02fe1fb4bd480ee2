"""What results.json holds, as tables in the terminal."""

from rich.console import Console
from rich.table import Table

from ssl_zoo.runs.results import LINEAR, Result, Score
from ssl_zoo.tasks.labels import CLASSES

BALANCED = "balanced"


def title(result: Result) -> str:
    """What was evaluated, and after what training."""
    source, budget = result.data.source, result.budget
    if budget.steps == 0:
        return f"{result.encoder} as published, on {source}"
    return f"{result.method} on {source} after {budget.samples:,} examples in {budget.seconds:.0f} s"


def print_table(result: Result) -> None:
    """Prints the accuracies of results.json by labels per class."""
    columns = list(result.rows[result.own_row][LINEAR])
    caption = "test accuracy in %, ± standard deviation over draws of the labels"
    if any(score.balanced for row in result.rows.values() for kind in row.values() for score in kind.values()):
        caption += "; balanced: the mean accuracy over classes, which differ in size"
    if result.main_task != CLASSES:
        caption += f"; rank by {result.main_task}, which says more of a representation here"
    table = Table(title=title(result), caption=caption)
    table.add_column("representation")
    table.add_column("probe")
    for labels in columns:
        table.add_column(labels, justify="right", no_wrap=True)
    for row, probes in result.rows.items():
        lines = _lines(probes, columns)
        for place, (kind, cells) in enumerate(lines):
            table.add_row(row if place == 0 else "", kind, *cells, end_section=place == len(lines) - 1)
    Console().print(table)
    for remark in result.remarks:
        Console(soft_wrap=True).print(remark, highlight=False, markup=False)


def print_layers(result: Result) -> None:
    """Prints what the last layer and the one that validation data chooses reach, and every layer."""
    table = Table(
        title=f"{title(result)}: layer by layer",
        caption="test accuracy in % of a linear probe with all labels of at most 10,000 examples, on the mean over a "
        "layer's places; layer 0 is what enters the first one; validation data chooses, never the test part",
    )
    for column in ("representation", "last", "chosen", "layer", "from the first to the last"):
        table.add_column(column, justify="left" if column == "representation" else "right")
    for row, (_, test, chosen) in result.layers.items():
        every = " ".join(f"{100 * accuracy:.1f}" for accuracy in test)
        table.add_row(row, f"{100 * test[-1]:.1f}", f"{100 * test[chosen]:.1f}", str(chosen), every)
    Console().print(table)


def print_tasks(result: Result) -> None:
    """Prints the accuracies of results.json in tasks besides the classes, and what each layer counts."""
    table = Table(
        title=title(result),
        caption="test accuracy in % of a linear probe on a weighted sum of layers; their weights in %, first to last",
    )
    table.add_column("task")
    table.add_column("representation")
    table.add_column("accuracy", justify="right")
    table.add_column(BALANCED, justify="right")
    table.add_column("layers", justify="right")
    for task, rows in result.tasks.items():
        sizes = result.task_sizes[task]
        heading = f"{task}, {sizes['classes']} classes, {sizes['train']:,} to train and {sizes['test']:,} to test"
        for row, (share, balanced_share, shares) in rows.items():
            layers = " ".join(f"{100 * each:.0f}" for each in shares) if len(shares) > 1 else ""
            balanced = "" if balanced_share is None else f"{100 * balanced_share:.1f}"
            table.add_row(heading, row, f"{100 * share:.1f}", balanced, layers, end_section=row == list(rows)[-1])
            heading = ""
    Console().print(table)


def _lines(probes: dict[str, dict[str, Score]], columns: list[str]) -> list[tuple[str, list[str]]]:
    """Every probe's cells, and where classes differ in size those of its balanced accuracy below it."""
    lines = []
    for kind, by_labels in probes.items():
        lines.append((kind, [_cell(by_labels.get(labels)) for labels in columns]))
        balanced = [by_labels[labels].balanced if labels in by_labels else None for labels in columns]
        if any(balanced):
            lines.append((f"  {BALANCED}", [_cell(score) for score in balanced]))
    return lines


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    spread = f" ±{100 * score.std:4.1f}" if len(score.draws) > 1 else ""
    return f"{100 * score.mean:.1f}{spread}"
