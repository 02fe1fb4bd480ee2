"""Methods over modalities: by how much each of their encoders is better than the same one untrained."""

from collections.abc import Callable

from ssl_zoo.compare.entry import Entry
from ssl_zoo.compare.grid import Cell, Column, Grid, Row
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.ranking import Ranking
from ssl_zoo.compare.statistics import Estimate, estimate
from ssl_zoo.runs.results import ALL, UNTRAINED

TITLE = "Across modalities"
WORDS = {"audio": "speech"}


def across(boards: list[Leaderboard]) -> Grid | None:
    """Methods in rows and modalities in columns; None where the runs are of one modality, or have no accuracy.

    Data sets and encoders of different modalities cannot be compared by their accuracies. What pretraining adds to an
    encoder, in points of the accuracy that its data is ranked by, can be read side by side.

    Args:
        boards: leaderboards; one whose runs have no accuracy or no untrained encoder beside them has no column.
    """
    found = [(board, gains(board)) for board in boards]
    found = sorted(((board, of) for board, of in found if of), key=lambda each: _order(each[0]))
    modalities = [modality_of(board) for board, _ in found]
    if len(set(modalities)) < 2:
        return None
    columns = [Column("method", "what the encoders were trained by", number=False)]
    for board, _ in found:
        modality, source = modality_of(board), board.group.source
        name = modality if modalities.count(modality) == 1 else f"{modality}: {source}"
        columns.append(Column(name, f"{source}, points above the same encoder untrained, by {board.headline.words}"))
    methods = list(dict.fromkeys(method for _, of in found for method in of))
    rows = [_row([of.get(method) for _, of in found]) for method in sorted(methods, key=_best_first(found))]
    said = "; ".join(f"{modality_of(board)} on {board.group.source} by {board.headline.words}" for board, _ in found)
    note = (
        f"Percentage points of test accuracy above the same encoder untrained, ± half the 95 % interval over seeds: "
        f"{said}. Where a method has several experiments on the data, the one that is ranked highest."
    )
    return Grid(TITLE, note, columns, rows)


def gains(board: Leaderboard) -> dict[str, tuple[Entry, Estimate]]:
    """By method: its experiment that is ranked highest, and how far it lies above its untrained encoder, in [-1, 1].

    Args:
        board: leaderboard.
    """
    found: dict[str, tuple[Entry, Estimate]] = {}
    for entry in board.methods:  # the best first
        gain = _gain(entry, board.headline)
        if gain is not None and entry.method not in found:
            found[entry.method] = entry, gain
    return found


def modality_of(board: Leaderboard) -> str:
    """What its runs' encoders read, in a word: `image`, `speech` or `text`."""
    modality = board.group.runs[0].result.modality
    return WORDS.get(modality, modality) or "unknown"


def _gain(entry: Entry, ranking: Ranking) -> Estimate | None:
    """Run by run, so that an encoder is compared with the weights that it began with."""
    differences = []
    for run in entry.runs:
        own, untrained = (
            run.rows.get(row, {}).get(ranking.probe, {}).get(ranking.labels or ALL)
            for row in (run.result.own_row, UNTRAINED)
        )
        if own is not None and untrained is not None:
            differences.append(own - untrained)
    return estimate(differences) if differences else None


def _row(found: list[tuple[Entry, Estimate] | None]) -> Row:
    entry = next(each[0] for each in found if each is not None)
    cells = [Cell(entry.method)]
    for each in found:
        if each is None:
            cells.append(Cell(""))
            continue
        gain = each[1]
        spread = "" if gain.interval is None else f" ± {100 * gain.interval:.1f}"
        cells.append(Cell(f"{100 * gain.mean:+.1f}{spread}", gain.mean))
    return Row(entry._replace(modality="", label=entry.method), cells)  # it is of no single one


def _best_first(
    found: list[tuple[Leaderboard, dict[str, tuple[Entry, Estimate]]]],
) -> Callable[[str], tuple[int, float, str]]:
    """Methods that were tried on most modalities first, of these the one with the highest mean."""

    def key(method: str) -> tuple[int, float, str]:
        means = [of[method][1].mean for _, of in found if method in of]
        return -len(means), -sum(means) / len(means), method

    return key


def _order(board: Leaderboard) -> tuple[int, str, str]:
    order, modality = ["image", "speech", "text"], modality_of(board)
    return (order.index(modality) if modality in order else len(order)), modality, board.group.source
