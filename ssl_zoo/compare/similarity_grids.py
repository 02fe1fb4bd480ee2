"""What an encoder finds alike, as tables: words, and the same thing in two styles."""

from ssl_zoo.compare.grid import Column, Grid, Row, lead, leading, percent, shown
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.similarities import first_places, reciprocal_ranks, word_similarity
from ssl_zoo.runs.results import CHANCE


def similarity_grids(board: Leaderboard) -> list[Grid]:
    """How words agree with people, and retrieval across styles; neither where no run has it."""
    return [grid for grid in (_words(board), _retrieval(board)) if grid.rows]


def _words(board: Leaderboard) -> Grid:
    found = [word_similarity(entry) for entry in board.entries]
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
    firsts = [first_places(entry) for entry in board.entries]
    directions = list(dict.fromkeys(name for means in firsts for name in means))
    columns = leading(board)
    for name in directions:
        columns.append(Column(f"first, {name}", "how often the one that shows the same is the nearest, in %"))
        columns.append(Column(f"1 / rank, {name}", "mean of 1 / the rank of the one that shows the same", leave_out=10))
    rows = []
    for entry, first in zip(board.entries, firsts, strict=True):
        if first:
            ranks = reciprocal_ranks(entry)
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


def _three_digits(value: float) -> str:
    return f"{value:.3f}"
