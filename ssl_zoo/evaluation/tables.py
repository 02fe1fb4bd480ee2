"""What results.json holds, as tables in the terminal."""

from rich.console import Console

from ssl_zoo.probes.intervals import too_few
from ssl_zoo.runs.files import RESULTS
from ssl_zoo.runs.results import ALL, CHANCE, LINEAR, SUPERVISED, Result, Score
from ssl_zoo.tasks.labels import CLASSES
from ssl_zoo.terminal_tables import Column, Row
from ssl_zoo.terminal_tables import print_table as print_fitting

BALANCED = "balanced"
ELSEWHERE = f"{RESULTS} has all of it"


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
    warning = undecided(result)
    heads = [Column("representation", number=False), Column("probe", number=False)]
    # Where there is no room for all numbers of labels, the fewest, ten and all say most.
    heads += [Column(labels, leave_out=0 if labels in (ALL, "10") else place) for place, labels in enumerate(columns)]
    rows = []
    for row, probes in result.rows.items():
        lines = _lines(probes, columns)
        for place, (kind, cells) in enumerate(lines):
            rows.append(Row([row if place == 0 else "", kind, *cells], ends_section=place == len(lines) - 1))
    print_fitting(title(result), f"{caption}. {warning}" if warning else caption, heads, rows, ELSEWHERE)
    for remark in result.remarks:
        Console(soft_wrap=True).print(remark, highlight=False, markup=False)


def print_layers(result: Result) -> None:
    """Prints what the last layer and the one that validation data chooses reach, and every layer."""
    caption = (
        "test accuracy in % of a linear probe with all labels of at most 10,000 examples, on the mean over a layer's "
        "places; layer 0 is what enters the first one; validation data chooses, never the test part"
    )
    columns = [Column("representation", number=False), *map(Column, ("last", "chosen", "layer"))]
    columns.append(Column("from the first to the last", number=False))
    rows = []
    for row, (_, test, chosen) in result.layers.items():
        every = " ".join(f"{100 * accuracy:.1f}" for accuracy in test)
        rows.append(Row([row, f"{100 * test[-1]:.1f}", f"{100 * test[chosen]:.1f}", str(chosen), every]))
    print_fitting(f"{title(result)}: layer by layer", caption, columns, rows)


def print_tasks(result: Result) -> None:
    """Prints the accuracies of results.json in tasks besides the classes, and what each layer counts."""
    caption = "test accuracy in % of a linear probe on a weighted sum of layers; their weights in %, first to last"
    columns = [Column("task", number=False), Column("representation", number=False), Column("accuracy")]
    if any(score.balanced is not None for rows in result.tasks.values() for score in rows.values()):
        columns.append(Column(BALANCED))
    columns.append(Column("layers", number=False, leave_out=1))
    lines = []
    for task, rows in result.tasks.items():
        sizes = result.task_sizes[task]
        heading = f"{task}, {sizes['classes']} classes, {sizes['train']:,} to train and {sizes['test']:,} to test"
        for row, (share, balanced_share, shares) in rows.items():
            cells = [heading, row, f"{100 * share:.1f}"]
            if len(columns) > 4:
                cells.append("" if balanced_share is None else f"{100 * balanced_share:.1f}")
            cells.append(" ".join(f"{100 * each:.0f}" for each in shares) if len(shares) > 1 else "")
            lines.append(Row(cells, ends_section=row == list(rows)[-1]))
            heading = ""
    print_fitting(title(result), caption, columns, lines, ELSEWHERE)


def print_word_similarity(result: Result) -> None:
    """Prints how well words' vectors agree with people on which words are alike."""
    caption = "Spearman's rank correlation of the cosine of two words' vectors, without context, with people's scores"
    columns = [Column("pairs of words", number=False), Column("representation", number=False)]
    columns += [Column("rho"), Column("pairs")]
    lines = []
    for name, rows in result.word_similarity.items():
        heading = name
        for row, (rho, pairs, of) in rows.items():
            lines.append(Row([heading, row, f"{rho:.3f}", f"{pairs} of {of}"], ends_section=row == list(rows)[-1]))
            heading = ""
    print_fitting(f"{title(result)}: words that are alike", caption, columns, lines)


def print_retrieval(result: Result) -> None:
    """Prints how well test examples find the one in another style that shows the same."""
    caption = (
        "how often the one that shows the same is the nearest, and among the five nearest, in %, and the mean of 1 / "
        "its rank, by cosine similarity around each style's mean"
    )
    columns = [Column("from one style to another", number=False), Column("representation", number=False)]
    columns += [Column("first"), Column("of 5"), Column("1 / rank")]
    lines = []
    for direction, rows in result.retrieval.items():
        heading = direction
        for row, (first, among_five, reciprocal_rank, asked, answers) in rows.items():
            if row == CHANCE:
                row = f"{row}, {asked} among {answers}"
            cells = [heading, row, f"{100 * first:.1f}", f"{100 * among_five:.1f}", f"{reciprocal_rank:.3f}"]
            lines.append(Row(cells, ends_section=row.startswith(CHANCE)))
            heading = ""
    print_fitting(f"{title(result)}: the same in another style", caption, columns, lines)


def print_translation(result: Result) -> None:
    """Prints how near translations are to those of people, for short and for long sources."""
    parts = result.translation
    caption = "BLEU of test texts, by sacrebleu; " + ", ".join(
        f"{part}: up to {next(iter(rows.values())).longest} tokens" for part, rows in parts.items()
    )
    columns = [Column("translation", number=False), *map(Column, parts)]
    rows = next(iter(parts.values()))
    lines = [Row([row, *(f"{by_row[row].bleu:.1f}" for by_row in parts.values())]) for row in rows]
    print_fitting(f"{title(result)}: translations", caption, columns, lines)


def undecided(result: Result) -> str:
    """A sentence on where the test part is too small to distinguish the run from a baseline; empty where nowhere."""
    means = {
        row: {labels: score.mean for labels, score in probes.get(LINEAR, {}).items()}
        for row, probes in result.rows.items()
        if row != SUPERVISED
    }
    own = means.pop(result.own_row)
    return too_few(f"the linear probe on {result.own_row}", own, means, result.data.test)


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
