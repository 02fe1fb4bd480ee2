"""Tables of a leaderboard as text, before a terminal or a page shows them."""

from collections.abc import Callable
from typing import NamedTuple

from ssl_zoo.compare.entry import METHOD, Entry
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.statistics import Estimate

NO_CELL = ""


class Column(NamedTuple):
    """A column.

    Attributes:
        name: head of the column.
        meaning: what it holds.
        number: whether it sorts by size.
        leave_out: a terminal without room for all leaves out the highest first; those with 0 stay.
        room: least width in a terminal of a column of longer names.
    """

    name: str
    meaning: str
    number: bool = True
    leave_out: int = 0
    room: int = 16


class Cell(NamedTuple):
    """What is shown, and the number it sorts by, None if there is none."""

    text: str
    value: float | None = None


class Row(NamedTuple):
    """The cells of one row, and whose they are."""

    entry: Entry
    cells: list[Cell]


class Grid(NamedTuple):
    """A table; `note` stands below it, and a warning more visibly."""

    title: str
    note: str
    columns: list[Column]
    rows: list[Row]
    warning: str = ""


def leading(board: Leaderboard) -> list[Column]:
    """The columns that every table begins with: rank, experiment and seeds."""
    return [
        Column("#", f"rank by {board.ranking.words}, ties by the kNN; baselines and ceiling have none"),
        Column("experiment", "a method's experiment by its name, a baseline or the ceiling", number=False),
        Column("seeds", "runs of one experiment that the row is a mean of", leave_out=40),
    ]


def lead(entry: Entry) -> list[Cell]:
    """An entry's cells in the columns of `leading`."""
    label = entry.label if entry.kind == METHOD else f"{entry.label} ({entry.kind})"
    if entry.kind != METHOD:  # nor are the runs that measured a baseline seeds of it
        return [Cell(NO_CELL), Cell(label), Cell(NO_CELL)]
    rank = Cell(NO_CELL) if entry.rank is None else Cell(str(entry.rank), entry.rank)
    return [rank, Cell(label), Cell(str(len(entry.runs)), len(entry.runs))]


def shown(found: Estimate | None, show: Callable[[float], str]) -> Cell:
    """A mean in words, empty where there is none."""
    return Cell(NO_CELL) if found is None else Cell(show(found.mean).strip(), found.mean)


def percent(found: Estimate | None) -> Cell:
    """A share in [0, 1] as percents, with its interval."""
    if found is None:
        return Cell(NO_CELL)
    spread = "" if found.interval is None else f" ± {100 * found.interval:.1f}"
    return Cell(f"{100 * found.mean:.1f}{spread}", found.mean)
