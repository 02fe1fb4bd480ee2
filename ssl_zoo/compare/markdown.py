"""The leaderboards as Markdown, for a README, an issue or a notebook."""

from pathlib import Path

from ssl_zoo.compare.grid import Grid
from ssl_zoo.compare.grids import make_grids
from ssl_zoo.compare.leaderboard import Leaderboard


def write_markdown(boards: list[Leaderboard], path: Path, together: Grid | None = None) -> None:
    """Writes every grid of every leaderboard as a table; the same leaderboards give the same bytes.

    Args:
        boards: leaderboards.
        path: path of the file.
        together: methods over modalities; None where there is one.
    """
    sections = [
        f"## {board.group.source}\n\n" + "\n\n".join(f"### {grid.title}\n\n{_body(grid)}" for grid in make_grids(board))
        for board in boards
    ]
    if together is not None:
        sections.insert(0, f"## {together.title}\n\n{_body(together)}")
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8", newline="\n")


def _body(grid: Grid) -> str:
    heads = _line([column.name for column in grid.columns])
    rule = "|" + "|".join("---:" if column.number else "---" for column in grid.columns) + "|"
    rows = [_line([cell.text for cell in row.cells]) for row in grid.rows]
    warning = ["", f"**{grid.warning}**"] if grid.warning else []
    return "\n".join([heads, rule, *rows, "", grid.note, *warning])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(_escape(cell) for cell in cells)} |"


def _escape(cell: str) -> str:
    """Names of data and methods may hold anything, and stay names."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|" else sign for sign in " ".join(cell.split()))
