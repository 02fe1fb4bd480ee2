"""Whether the test part is large enough to decide what a leaderboard shows."""

from ssl_zoo.compare.entry import CEILING, METHOD, Entry
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.results import BALANCED
from ssl_zoo.probes.intervals import distinguishable, wilson

NAMED = 3  # rows that a sentence names


def warning(board: Leaderboard) -> str:
    """A sentence on the rows that the test part is too small to distinguish from the best method; empty without any.

    Of a balanced accuracy and of figures that are no accuracies nothing is known here.
    """
    probe = board.ranking.probe
    if not probe or probe.startswith(BALANCED):
        return ""
    best = next((entry for entry in board.methods if entry.rank == 1), None)
    examples = tested(board, probe)
    found = None if best is None else board.ranking.value(best)
    if best is None or found is None or not examples:
        return ""
    others = [
        _name(entry)
        for entry in board.entries
        if entry is not best and entry.kind != CEILING and _undecided(board, entry, found.mean, examples)
    ]
    if not others:
        return ""
    low, high = wilson(found.mean, examples)
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return (
        f"Too few test examples to decide: with {examples:,} of them, the {100 * found.mean:.1f} % of {_name(best)} "
        f"may be anything from {100 * low:.1f} to {100 * high:.1f} % (95 % interval over examples), and "
        f"{', '.join(others[:NAMED])}{more} cannot be distinguished from it."
    )


def tested(board: Leaderboard, probe: str) -> int:
    """On how many test examples, or labels of places within them, an accuracy was taken; 0 where nobody says."""
    if probe in board.probes:
        return min(
            (sizes["test"] for run in board.group.runs if "test" in (sizes := run.result.task_sizes.get(probe, {}))),
            default=0,
        )
    return board.group.parts["test"]


def _undecided(board: Leaderboard, entry: Entry, best: float, examples: int) -> bool:
    found = board.ranking.value(entry)
    return found is not None and not distinguishable(best, found.mean, examples)


def _name(entry: Entry) -> str:
    return entry.label if entry.kind == METHOD else f"{entry.label} ({entry.kind})"
