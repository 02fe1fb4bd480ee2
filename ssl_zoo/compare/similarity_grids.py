"""What an encoder finds alike, as tables: words, and the same thing in two styles."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from ssl_zoo.compare.entry import METHOD, Entry
from ssl_zoo.compare.grid import Column, Grid, Row, lead, leading, percent, shown
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.statistics import Estimate, estimate
from ssl_zoo.runs.results import CHANCE, Result

Found = TypeVar("Found")


def similarity_grids(board: Leaderboard) -> list[Grid]:
    """How words agree with people, and retrieval across styles; neither where no run has it."""
    return [grid for grid in (_words(board), _retrieval(board)) if grid.rows]


def _words(board: Leaderboard) -> Grid:
    found = [_means(entry, lambda result: result.word_similarity, lambda each: each.rho) for entry in board.entries]
    sets = list(dict.fromkeys(name for means in found for name in means))
    meaning = "rank correlation (Spearman's) of the cosine of two words' vectors with people's scores"
    columns = [*leading(board), *(Column(name, meaning) for name in sets)]
    rows = [
        Row(entry, [*lead(entry), *(shown(means.get(name), _three_digits) for name in sets)])
        for entry, means in zip(board.entries, found, strict=True)
        if means
    ]
    return Grid("Words that are alike", "Vectors of words without context, means over seeds.", columns, rows)


def _retrieval(board: Leaderboard) -> Grid:
    firsts = [_means(entry, lambda result: result.retrieval, lambda each: each.first) for entry in board.entries]
    directions = list(dict.fromkeys(name for means in firsts for name in means))
    columns = leading(board)
    for name in directions:
        columns.append(Column(f"first, {name}", "how often the one that shows the same is the nearest, in %"))
        columns.append(Column(f"1 / rank, {name}", "mean of 1 / the rank of the one that shows the same", leave_out=10))
    rows = []
    for entry, first in zip(board.entries, firsts, strict=True):
        if first:
            ranks = _means(entry, lambda result: result.retrieval, lambda each: each.reciprocal_rank)
            cells = lead(entry)
            for name in directions:
                cells += [percent(first.get(name)), shown(ranks.get(name), _three_digits)]
            rows.append(Row(entry, cells))
    chances = {
        direction: f"{100 * rows[CHANCE].first:.1f} % ({direction})"
        for run in board.group.runs
        for direction, rows in run.result.retrieval.items()
        if CHANCE in rows
    }
    by_chance = f" By chance {', '.join(chances.values())}." if chances else ""
    note = f"Test examples, by cosine similarity around each style's mean; means over seeds.{by_chance}"
    return Grid("The same in another style", note, columns, rows)


def _means(
    entry: Entry, tables: Callable[[Result], Mapping[str, Mapping[str, Found]]], figure: Callable[[Found], float]
) -> dict[str, Estimate]:
    """Means over an entry's runs, by what stands first in a table of results, of the rows that are the entry's."""
    over: dict[str, list[float]] = {}
    for run in entry.runs:
        row = run.result.own_row if entry.kind == METHOD else entry.method
        for name, rows in tables(run.result).items():
            if row in rows:
                over.setdefault(name, []).append(figure(rows[row]))
    means = {name: estimate(values) for name, values in over.items()}
    if entry.kind == METHOD:
        return means
    return {name: mean._replace(interval=None) for name, mean in means.items()}  # its runs are no seeds of a baseline


def _three_digits(value: float) -> str:
    return f"{value:.3f}"
