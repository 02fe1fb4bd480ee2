"""What fine-tuning gave, as a table in the terminal."""

from pathlib import Path

from ssl_zoo.probes.accuracy import Score
from ssl_zoo.probes.intervals import too_few
from ssl_zoo.runs.files import fine_tuned
from ssl_zoo.runs.fine_tuned import FineTuned
from ssl_zoo.terminal_tables import Column, Row
from ssl_zoo.terminal_tables import print_table as print_fitting


def print_table(found: FineTuned) -> None:
    """Prints the figures by number of examples."""
    budget, data = found.budget, found.data
    title = (
        f"{found.method} fine-tuned on {data.source} for {budget.steps} steps of {budget.batch_size} and "
        f"{budget.epochs} epochs at least"
    )
    caption = f"test figures in % by {found.counted}, ± standard deviation over draws"
    if any(data.left_out):
        caption += f"; {data.left_out[0]} training and {data.left_out[1]} test examples were too long"
    numbers = list(next(iter(next(iter(found.rows.values())).values())))
    columns = [Column("encoder", number=False), Column("figure", number=False)]
    # With all of them it counts, and where there is no room the fewest say more than those between.
    columns += [Column(number, leave_out=0 if number == numbers[-1] else place) for place, number in enumerate(numbers)]
    rows = []
    for row, figures in found.rows.items():
        for figure, by_number in figures.items():
            cells = [_cell(by_number.get(number)) for number in numbers]
            first, last = figure == next(iter(figures)), figure == list(figures)[-1]
            rows.append(Row([row if first else "", figure, *cells], ends_section=last))
    means = {
        row: {number: score.mean for number, score in figures.get("accuracy", {}).items()}
        for row, figures in found.rows.items()
    }
    name = next(iter(means))
    warning = too_few(name, means.pop(name), means, data.test)
    caption = f"{caption}. {warning}" if warning else caption
    print_fitting(title, caption, columns, rows, f"{fine_tuned(Path(), found.task).name} has all of it")


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    spread = f" ±{100 * score.std:4.1f}" if len(score.draws) > 1 else ""
    return f"{100 * score.mean:.1f}{spread}"
