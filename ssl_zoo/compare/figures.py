"""Pictures of a leaderboard: what accuracy costs, how few labels suffice, how the losses fell."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo import metrics
from ssl_zoo.compare.entry import CEILING, Entry
from ssl_zoo.compare.feature_figures import draw_feature_maps, draw_similarity
from ssl_zoo.compare.grids import label_counts
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.naming import file_names
from ssl_zoo.compare.overview_figure import draw_overview
from ssl_zoo.compare.plotting import (
    Style,
    baseline_style,
    grid_of_axes,
    legend_below,
    save,
    scale_costs,
    style_of,
    wrap,
)
from ssl_zoo.compare.runs import Remark
from ssl_zoo.evaluation.figures import CEILING as CEILING_COLOUR
from ssl_zoo.runs.results import BEFORE, LINEAR, UNTRAINED

COSTS = {"flops": "FLOPs of the training", "seconds": "seconds of training"}


class Picture(NamedTuple):
    """A PNG file and what one sees on it.

    Attributes:
        board: number of the leaderboard it belongs to, None if to all.
        title: title of the picture.
        caption: what one sees.
        path: path of the file.
        alternative: what it shows, for those who do not see it.
    """

    board: int | None
    title: str
    caption: str
    path: Path
    alternative: str


class Pictures(NamedTuple):
    """All pictures, and remarks about what is not on them."""

    pictures: list[Picture]
    remarks: list[Remark]


def draw_figures(boards: list[Leaderboard], folder: Path) -> Pictures:
    """Draws every picture that the runs have something to show on; the same runs give the same bytes.

    Args:
        boards: leaderboards.
        folder: where PNG files go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = file_names([board.group.source for board in boards])
    pictures: list[Picture] = []
    # First what pretraining is for: how far few labels go.
    for board, source in zip(boards, sources, strict=True):
        path = folder / f"{source}-label-efficiency.png"
        caption = draw_label_efficiency(board, path)
        if caption is not None:
            title = f"Label efficiency on {board.group.source}"
            pictures.append(Picture(None, title, caption, path, _in_words(title, board)))
    labelled = [board for board in boards if board.headline.is_accuracy]
    if labelled:
        overview = folder / "overview.png"
        bars = " ".join(_in_words("Bars", board) for board in labelled)
        pictures.append(Picture(None, "At a glance", draw_overview(labelled, overview), overview, bars))
    remarks: list[Remark] = []
    for number, (board, source) in enumerate(zip(boards, sources, strict=True)):
        for name, title, draw in (
            ("accuracy-against-compute", "Accuracy against compute", draw_accuracy_against_compute),
            ("loss-curves", "Loss curves", draw_loss_curves),
            ("feature-maps", "Feature maps", draw_feature_maps),
        ):
            path = folder / f"{source}-{name}.png"
            caption = draw(board, path)
            if caption is not None:
                pictures.append(Picture(number, title, caption, path, _in_words(title, board)))
        path = folder / f"{source}-cka.png"
        caption, said = draw_similarity(board, path)
        remarks += said
        if caption is not None:
            title = "How alike the representations are"
            pictures.append(Picture(number, title, caption, path, _in_words(title, board)))
    return Pictures(pictures, remarks)


def _in_words(title: str, board: Leaderboard) -> str:
    """What a picture is about, and what its rows reach: its numbers stand in the tables, too."""
    reached = [(entry.label, board.headline.value(entry)) for entry in board.entries]
    if not board.headline.is_accuracy:
        words = [f"{label} {found.mean:.3g}" for label, found in reached if found is not None]
        return f"{title}: {board.group.source}, {board.headline.words}: {', '.join(words)}."
    words = [f"{label} {100 * found.mean:.1f} %" for label, found in reached if found is not None]
    return f"{title}: {board.group.source}, {board.headline.words}, on test data: {', '.join(words)}."


def draw_accuracy_against_compute(board: Leaderboard, path: Path) -> str | None:
    """The headline accuracy over FLOPs and over seconds; returns the caption, None without either."""
    from matplotlib.figure import Figure

    known = [cost for cost in COSTS if any(cost in entry.costs for entry in board.methods)]
    if not known or not board.headline.is_accuracy:
        return None
    figure = Figure(figsize=(max(6.4, 4.6 * len(known)), 4.0), layout="constrained")
    for axes, cost in zip(figure.subplots(1, len(known), squeeze=False, sharey=True)[0], known, strict=True):
        _reference_lines(axes, board)
        for rank, entry in enumerate(board.methods):
            found = board.headline.value(entry)
            if cost not in entry.costs or found is None:
                continue
            style = style_of(rank)
            bar = None if found.interval is None else 100 * found.interval
            axes.errorbar(entry.costs[cost].mean, 100 * found.mean, yerr=bar, fmt=style.marker, color=style.colour,
                          markersize=9, capsize=4, label=entry.label)  # fmt: skip
        scale_costs(axes, [entry.costs[cost].mean for entry in board.methods if cost in entry.costs])
        axes.set_xlabel(COSTS[cost])
        axes.grid(alpha=0.3)
    probe = board.headline.words
    figure.axes[0].set_ylabel(f"{probe},\non test data (%)")
    legend_below(figure)
    save(figure, path)
    return (
        f"On frozen features {probe}, over what the pretraining cost: higher and further left is better. "
        "Lines are baselines and ceilings, which cost no pretraining."
        + _about_seeds(board, " Bars are 95 % intervals over seeds.")
    )


def draw_label_efficiency(board: Leaderboard, path: Path) -> str | None:
    """Accuracy over labels per class; returns the caption, None if there are but all labels."""
    from matplotlib.figure import Figure

    ticks = label_counts(board.entries)
    if len(ticks) < 2:
        return None
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    ranks = {entry.label: rank for rank, entry in enumerate(board.methods)}
    baselines = [entry for entry in board.references if entry.kind != CEILING and LINEAR in entry.accuracy]
    for entry in [*baselines, *(entry for entry in board.methods if LINEAR in entry.accuracy)]:
        style = style_of(ranks[entry.label]) if entry.label in ranks else _baseline_style(baselines, entry)
        found = {tick: entry.accuracy[LINEAR].get(tick) for tick in ticks}
        places = [place for place, tick in enumerate(ticks) if found[tick] is not None]
        estimates = [known for known in found.values() if known is not None]
        mean = 100 * np.array([known.mean for known in estimates])
        half = 100 * np.array([known.interval or 0.0 for known in estimates])
        marker = style.marker or ("o" if len(places) == 1 else "")  # a single point has no line
        axes.plot(places, mean, marker=marker, linestyle=style.line, color=style.colour, label=entry.label, linewidth=2)
        axes.fill_between(places, mean - half, mean + half, color=style.colour, alpha=0.15, linewidth=0)
    for entry in board.references:
        if entry.kind == CEILING:
            axes.axhline(100 * entry.score(), color=CEILING_COLOUR, linestyle="--", label=f"{entry.label}, all labels")
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlabel("labels per class")
    axes.set_ylabel("linear probe, test accuracy (%)")
    axes.grid(alpha=0.3)
    legend_below(figure)
    save(figure, path)
    caption = (
        "How far a linear probe on frozen features gets with few labels. A method earns its pretraining where its line "
        "lies above the grey baselines."
    )
    if any(entry.kind == CEILING for entry in board.references):
        caption += " The dashed line is the same encoder trained with all labels."
    return caption + _about_seeds(board, " Bands are 95 % intervals over seeds.")


def draw_loss_curves(board: Leaderboard, path: Path) -> str | None:
    """Every method's own loss in a panel of its own; returns the caption, None if no run has logged one."""
    from matplotlib.ticker import MaxNLocator

    names = {f"{metrics.TRAIN}/loss": "-", f"{metrics.VALIDATION}/loss": "--"}
    shown = [(rank, entry) for rank, entry in enumerate(board.methods)
             if any(name in run.curves for run in entry.runs for name in names)]  # fmt: skip
    if not shown:
        return None
    figure, panels = grid_of_axes(len(shown), width=3.6, height=2.8)
    for axes, (rank, entry) in zip(panels, shown, strict=True):
        for run in entry.runs:
            for name, line in names.items():
                if name in run.curves:
                    steps, values = zip(*run.curves[name], strict=True)
                    few = {"marker": "o", "markersize": 4} if len(steps) < 3 else {}  # one point has no line
                    axes.plot(steps, values, line, color=style_of(rank).colour, linewidth=1.3, **few)
        chances = [run.result.chance_loss for run in entry.runs if run.result.chance_loss is not None]
        if chances:
            axes.axhline(chances[0], color="#767676", linestyle=":", linewidth=1.5, label="chance")
            axes.legend(fontsize=8, frameon=False)
        axes.set_title(wrap(entry.label), fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(alpha=0.3)
    figure.supxlabel("optimizer steps", fontsize=10)
    figure.supylabel("the method's own loss", fontsize=10)
    save(figure, path)
    return (
        "Every method's own loss: solid on training batches, dashed on validation data, a line for each seed. The "
        "dotted line, where there is one, is chance: the loss of an encoder that ignores its input. Losses of "
        "different methods measure different things, so heights are not comparable between panels."
    )


def _about_seeds(board: Leaderboard, sentence: str) -> str:
    """The sentence, where any method has several seeds."""
    return sentence if any(len(entry.runs) > 1 for entry in board.methods) else ""


def _reference_lines(axes: Any, board: Leaderboard) -> None:
    known = [(entry, found) for entry in board.references if (found := board.headline.value(entry)) is not None]
    baselines = [entry for entry, _ in known if entry.kind != CEILING]
    for entry, found in known:
        height = 100 * found.mean
        if entry.kind == CEILING:
            axes.axhline(height, color=CEILING_COLOUR, linestyle="--", label=f"{entry.label}, all labels")
        else:
            style = _baseline_style(baselines, entry)
            axes.axhline(height, color=style.colour, linestyle=style.line, label=entry.label)


def _baseline_style(baselines: list[Entry], baseline: Entry) -> Style:
    """Baselines are grey: dark the untrained encoder, lighter what has no encoder."""
    names = sorted((entry.method not in (UNTRAINED, BEFORE), entry.label) for entry in baselines)
    return baseline_style([label for _, label in names].index(baseline.label))
