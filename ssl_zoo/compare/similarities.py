"""What the encoders of an entry find alike, as means over its runs: words, and the same thing in two styles."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from ssl_zoo.compare.entry import METHOD, Entry
from ssl_zoo.compare.statistics import Estimate, estimate
from ssl_zoo.runs.results import Result

Found = TypeVar("Found")


def word_similarity(entry: Entry) -> dict[str, Estimate]:
    """Spearman's rank correlation with people's scores, by set of pairs of words."""
    return _means(entry, lambda result: result.word_similarity, lambda each: each.rho)


def first_places(entry: Entry) -> dict[str, Estimate]:
    """How often the one that shows the same is the nearest, by direction between two styles."""
    return _means(entry, lambda result: result.retrieval, lambda each: each.first)


def reciprocal_ranks(entry: Entry) -> dict[str, Estimate]:
    """The mean of 1 / the rank of the one that shows the same, by direction between two styles."""
    return _means(entry, lambda result: result.retrieval, lambda each: each.reciprocal_rank)


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
