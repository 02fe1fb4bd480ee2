"""The leaderboards as tables in the terminal."""

from rich.console import Console
from rich.markup import escape

from ssl_zoo.compare.entry import METHOD
from ssl_zoo.compare.grid import Grid
from ssl_zoo.compare.grids import make_grids
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.runs import Remark
from ssl_zoo.terminal_tables import Column, Row, print_table

ELSEWHERE = "the report and tables.md have all columns"


def print_leaderboard(board: Leaderboard) -> None:
    """Prints the grids of a leaderboard, with as many columns as the terminal has room for."""
    group = board.group
    sizes = f"{group.parts['train']:,} training and {group.parts['test']:,} test examples"
    for grid in make_grids(board):
        _print(grid, f"{grid.title}: {group.source}, {sizes}")


def print_across(grid: Grid) -> None:
    """Prints the table of methods over modalities, see `ssl_zoo.compare.across`."""
    _print(grid, grid.title)


def print_remarks(remarks: list[Remark]) -> None:
    """Prints which runs are not ranked, and what others lack."""
    console = Console(soft_wrap=True)
    for ranked, title in ((False, "Not ranked:"), (True, "Ranked, but:")):
        said = sorted(remark for remark in remarks if remark.ranked == ranked)
        if said:
            console.print(f"\n{title}")
        for remark in said:
            console.print(f"  {escape(remark.run)}: {escape(remark.sentence)}", highlight=False)


def _print(grid: Grid, title: str) -> None:
    columns = [Column(column.name, column.number, column.leave_out, column.room) for column in grid.columns]
    rows = []
    for row in grid.rows:
        is_method = row.entry.kind == METHOD
        link = row.entry.runs[0].directory.as_uri() if is_method else ""
        rows.append(Row([cell.text for cell in row.cells], dim=not is_method, link=link))
    print_table(title, " ".join(filter(None, (grid.note, grid.warning))), columns, rows, ELSEWHERE)
