"""One picture of all leaderboards: who is ahead on which data, and how far above the baselines."""

from pathlib import Path

from ssl_zoo.compare.entry import BASELINE, CEILING, METHOD
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.plotting import baseline_style, save, style_of, wrap
from ssl_zoo.evaluation.figures import CEILING as CEILING_COLOUR


def draw_overview(boards: list[Leaderboard], path: Path) -> str:
    """Draws every row's headline accuracy as a bar, a panel for each data set, the best on top; returns the caption.

    Args:
        boards: leaderboards, at least one.
        path: path of the PNG.
    """
    from matplotlib.figure import Figure

    colours = {METHOD: style_of(0).colour, BASELINE: baseline_style(1).colour, CEILING: CEILING_COLOUR}
    shown = [
        [(entry, found) for entry in board.entries if (found := board.headline.value(entry)) is not None]
        for board in boards
    ]
    # In bars of one line; a title and an axis take about as much as two.
    lines = [max(wrap(entry.label).count("\n") + 1 for entry, _ in entries) for entries in shown]
    heights = [len(entries) * (0.6 + 0.4 * most) + 1.6 for entries, most in zip(shown, lines, strict=True)]
    figure = Figure(figsize=(8.2, 0.34 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(boards), squeeze=False, height_ratios=heights)[:, 0]
    for axes, board, entries in zip(panels, boards, shown, strict=True):
        for place, (entry, found) in enumerate(entries):
            score, half = 100 * found.mean, 100 * (found.interval or 0)
            axes.barh(place, score, xerr=half or None, color=colours[entry.kind], capsize=3)
            axes.text(score + half + 0.8, place, f"{score:.1f}", va="center", fontsize=9)
        axes.set_yticks(range(len(entries)), [wrap(entry.label) for entry, _ in entries], fontsize=9, parse_math=False)
        axes.set_ylim(len(entries) - 0.4, -0.6)  # the best on top
        axes.set_xlim(0, 108)  # room for the number of a full bar
        axes.set_xticks(range(0, 101, 20))
        title = f"{board.group.source}: {board.headline.words}, on test data (%)"
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
    return (
        "The rows of every data set, the best on top: blue are the methods, grey the baselines that need no "
        "pretraining, and orange, where it was measured, the same encoder trained with all labels."
    )
