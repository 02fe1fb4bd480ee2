"""Tables as wide as the terminal: what there is no room for is left out, least important first, and named below."""

from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.style import Style
from rich.table import Table

STAYS = 0  # `leave_out` of what every width shows
NAMED = 6  # columns that are left out
NAME_ROOM = 16  # a name may be broken over lines, but not into syllables
PADDING = 3  # of a column: its line and a blank on either side


class Column(NamedTuple):
    """A column of a table in the terminal.

    Attributes:
        name: head of the column, which may be broken between words.
        number: whether cells stand to the right and are never broken: a cut number is no number.
        leave_out: columns with the highest are left out first, of equal ones the last; those with `STAYS` never.
        room: least width of a column of names that are longer.
    """

    name: str
    number: bool = True
    leave_out: int = STAYS
    room: int = NAME_ROOM


class Row(NamedTuple):
    """A row of a table in the terminal.

    Attributes:
        cells: one for each column.
        ends_section: whether a line follows.
        dim: whether it stands back.
        link: address that terminals open on a click on the first column of names; empty without.
    """

    cells: list[str]
    ends_section: bool = False
    dim: bool = False
    link: str = ""


def print_table(title: str, caption: str, columns: list[Column], rows: list[Row], elsewhere: str = "") -> None:
    """Prints a table that fits; only what never may be left out makes it wider than a very narrow terminal.

    Args:
        title: stands above.
        caption: stands below.
        columns: columns, at least one of them with `STAYS`.
        rows: rows.
        elsewhere: where the columns are that are left out, such as `all of them are in results.json`.
    """
    console = Console()
    shown = list(range(len(columns)))
    while (widths := _widths(columns, rows, shown, console.width)) is None:
        droppable = [place for place in shown if columns[place].leave_out > STAYS]
        if not droppable:
            widths = [_least(columns, rows, place) for place in shown]
            break
        shown.remove(max(droppable, key=lambda place: (columns[place].leave_out, place)))
    left_out = [column.name for place, column in enumerate(columns) if place not in shown]
    if left_out:
        caption += f"{'. ' if caption and not caption.endswith('.') else ' '}No room for {_few(left_out)}"
        caption += f"; {elsewhere}." if elsewhere else "."
    table = Table(title=escape(title))
    for place, width in zip(shown, widths, strict=True):
        column = columns[place]
        justify: Literal["left", "right"] = "right" if column.number else "left"
        table.add_column(escape(column.name), justify=justify, overflow="fold", width=width)
    linked = next((place for place in shown if not columns[place].number), None)
    for row in rows:
        cells = []
        for place in shown:
            cell = escape(row.cells[place])
            cells.append(f"[link={row.link}]{cell}[/link]" if row.link and place == linked and cell else cell)
        table.add_row(*cells, style=Style(dim=True) if row.dim else None, end_section=row.ends_section)
    Console(width=max(console.width, sum(widths) + PADDING * len(widths) + 1)).print(table)
    if caption.strip():  # as wide as the terminal: below a narrow table it would be a column of syllables
        console.print(escape(caption.strip()), style="italic dim", highlight=False)


def _few(names: list[str]) -> str:
    more = len(names) - NAMED
    if more > 1:
        return f"{', '.join(names[:NAMED])} and {more} more columns"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _widths(columns: list[Column], rows: list[Row], shown: list[int], width: int) -> list[int] | None:
    """Widths of the columns that are shown, None where they do not fit; names grow into what is left first."""
    widths = {place: _least(columns, rows, place) for place in shown}
    spare = width - 1 - PADDING * len(shown) - sum(widths.values())
    if spare < 0:
        return None
    for place in sorted(shown, key=lambda place: columns[place].number):
        grown = min(spare, _most(columns, rows, place) - widths[place])
        widths[place] += grown
        spare -= grown
    return [widths[place] for place in shown]


def _least(columns: list[Column], rows: list[Row], place: int) -> int:
    head = max(map(cell_len, columns[place].name.split()), default=1)
    longest = max((cell_len(row.cells[place]) for row in rows), default=0)
    return max(head, longest if columns[place].number else min(longest, columns[place].room))


def _most(columns: list[Column], rows: list[Row], place: int) -> int:
    return max([cell_len(columns[place].name), *(cell_len(row.cells[place]) for row in rows)])
