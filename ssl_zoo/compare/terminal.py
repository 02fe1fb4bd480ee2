"""The leaderboards as tables in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ssl_zoo.compare.entry import METHOD
from ssl_zoo.compare.grids import Grid, make_grids
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.runs import Remark


def print_leaderboard(board: Leaderboard) -> None:
    """Prints the grids of a leaderboard, as wide as they need to be: a cut number is no number."""
    group = board.group
    sizes = f"{group.parts['train']:,} training and {group.parts['test']:,} test examples"
    for grid in make_grids(board):
        _print(_table(grid, f"{grid.title}: {group.source}, {sizes}"))


def print_remarks(remarks: list[Remark]) -> None:
    """Prints which runs are not ranked, and what others lack."""
    console = Console(soft_wrap=True)
    for ranked, title in ((False, "Not ranked:"), (True, "Ranked, but:")):
        said = sorted(remark for remark in remarks if remark.ranked == ranked)
        if said:
            console.print(f"\n{title}")
        for remark in said:
            console.print(f"  {escape(remark.run)}: {escape(remark.sentence)}", highlight=False)


def _table(grid: Grid, title: str) -> Table:
    # The report has a column for the modality; a terminal has not the room for what mostly is one word.
    shown = [number for number, column in enumerate(grid.columns) if column.name != "modality"]
    table = Table(title=escape(title), caption=escape(grid.note))
    for number in shown:
        column = grid.columns[number]
        table.add_column(escape(column.name), justify="right" if column.number else "left", no_wrap=True)
    for row in grid.rows:
        style = None if row.entry.kind == METHOD else "dim"
        table.add_row(*(escape(row.cells[number].text) for number in shown), style=style)
    return table


def _print(table: Table) -> None:
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, needed)).print(table)
