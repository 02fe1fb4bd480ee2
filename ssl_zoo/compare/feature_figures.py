"""Pictures of the features themselves: their maps, and how alike those of two methods are."""

from pathlib import Path

import numpy as np

from ssl_zoo.compare.cka import linear_cka
from ssl_zoo.compare.entry import Entry
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.plotting import grid_of_axes, save, wrap
from ssl_zoo.compare.runs import Remark, RunRecord
from ssl_zoo.evaluation.figures import class_legend, scatter_classes
from ssl_zoo.evaluation.kept_features import KeptFeatures
from ssl_zoo.runs.files import FEATURES
from ssl_zoo.runs.results import ALL


def draw_feature_maps(board: Leaderboard, path: Path) -> str | None:
    """The maps of every method's first seed side by side; returns the caption, None if no run kept features."""
    shown = [(entry, found) for entry in board.methods if (found := _kept(entry)) is not None]
    if not shown:
        return None
    figure, panels = grid_of_axes(len(shown), width=3.6, height=3.8)
    for axes, (entry, (run, kept)) in zip(panels, shown, strict=True):
        scatter_classes(axes, kept.map, kept.labels, size=6)
        knn = run.rows[run.result.own_row].get("knn", {}).get(ALL)
        axes.set_title(wrap(entry.label) + ("" if knn is None else f"\nkNN {100 * knn:.1f} %"), fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    class_legend(figure, list(shown[-1][1][1].classes), columns=5 if len(shown) > 1 else 3, fontsize=9)
    save(figure, path)
    if not shown[0][1][1].classes:
        return (
            f"{len(shown[0][1][1].labels):,} test examples, a random choice that is the same for all runs, in the "
            "features of each method's first seed, in two dimensions by t-SNE. Neighbours on a map are near each other "
            "in the features, too; distances between far groups mean nothing."
        )
    return (
        f"{len(shown[0][1][1].labels):,} test examples, a random choice that is the same for all runs, in the features "
        "of each method's first seed, in two dimensions by t-SNE, coloured by class. Neighbours on a map are near each "
        "other in the features, too; distances between far groups mean nothing. The kNN works on all test examples in "
        "the full features."
    )


def draw_similarity(board: Leaderboard, path: Path) -> tuple[str | None, list[Remark]]:
    """Linear CKA between the first seeds of all methods on the same test examples, as a heat map.

    Returns:
        The caption, None if fewer than two methods kept features; and remarks on runs whose examples are others.
    """
    found = [(entry, one) for entry in board.methods if (one := _kept(entry)) is not None]
    if not found:
        return None, []
    usual = found[0][1][1].index
    shown = [(entry, kept) for entry, (_, kept) in found if np.array_equal(kept.index, usual)]
    remarks = [
        Remark(run.name, f"{FEATURES} holds other test examples than those of the best method: CKA is left out.", True)
        for _, (run, kept) in found
        if not np.array_equal(kept.index, usual)
    ]
    if len(shown) < 2:
        return None, remarks
    alike = np.ones((len(shown), len(shown)))
    for row in range(len(shown)):
        for column in range(row):
            alike[row, column] = alike[column, row] = linear_cka(shown[row][1].features, shown[column][1].features)
    labels = [wrap(entry.label) for entry, _ in shown]
    from matplotlib.figure import Figure

    # The names take as much as they are long, on the left and below.
    side, names = 0.8 + 0.75 * len(shown), 0.09 * max(len(line) for label in labels for line in label.split("\n"))
    figure = Figure(figsize=(side + names + 1.2, side + names), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(alike, vmin=0, vmax=1, cmap="Blues")
    upright = len(labels) > 6 or any("\n" in label for label in labels)  # slanted ones of two lines overlap
    axes.set_xticks(range(len(labels)), labels, rotation=90 if upright else 35, ha="center" if upright else "right")
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), value in np.ndenumerate(alike):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    figure.colorbar(picture, ax=axes, label="linear CKA", shrink=0.8)
    save(figure, path)
    caption = (
        f"Linear centred kernel alignment of the features of {len(usual):,} test examples, first seeds: 1 means that "
        "two methods arrange the examples alike up to rotation and scale, 0 that nothing in one goes along with the "
        "other."
    )
    return caption, remarks


def _kept(entry: Entry) -> tuple[RunRecord, KeptFeatures] | None:
    """The lowest seed's run that has features, and these."""
    for run in sorted(entry.runs, key=lambda run: (run.seed is None, run.seed or 0, run.name)):
        if run.features is not None:
            return run, run.features
    return None
