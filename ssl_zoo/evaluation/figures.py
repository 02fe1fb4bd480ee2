"""Pictures of a run's results."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ssl_zoo.data.examples import UNLABELLED
from ssl_zoo.probes.linear import center_and_scale
from ssl_zoo.runs.results import ALL, KNN, LINEAR, SUPERVISED, Rows, TaskScore

# Two of Okabe and Ito's colours for the run and the ceiling, which everybody can distinguish; greys for the baselines,
# however many: a line style when the greys begin anew.
COLOURS = ("#0072B2", "#767676", "#B0B0B0")
STYLES = ("-", "--", ":", "-.")
CEILING = "#D55E00"
# Paul Tol's muted colours, which everybody can distinguish, and a grey; every ten classes another marker.
CLASS_COLOURS = ("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499",
                 "#555555")  # fmt: skip
CLASS_MARKERS = ("o", "^", "s", "x", "v", "D", "+", "P", "*", "<")
LEGEND_CLASSES = 30


def draw_label_efficiency(results: Rows, path: Path, title: str) -> None:
    """Accuracy of the linear probe against labels per class, with a band of one standard deviation over draws."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    rows = {name: probes[LINEAR] for name, probes in results.items() if name != SUPERVISED}
    ticks = list(next(iter(rows.values())))
    for place, (name, by_labels) in enumerate(rows.items()):
        colour, style = look_of_row(place)
        mean = 100 * np.array([by_labels[tick].mean for tick in ticks])
        std = 100 * np.array([by_labels[tick].std for tick in ticks])
        axes.plot(range(len(ticks)), mean, "o", linestyle=style, color=colour, label=name, linewidth=2)
        axes.fill_between(range(len(ticks)), mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    if SUPERVISED in results:
        top = 100 * results[SUPERVISED][LINEAR][ALL].mean
        axes.axhline(top, color=CEILING, linestyle="--", label="supervised, all labels")
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlabel("labels per class")
    axes.set_ylabel("linear probe, test accuracy (%)")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(facecolor="white", edgecolor="none", framealpha=0.9)  # legible over the lines that it cannot avoid
    figure.savefig(path, dpi=150)


def look_of_row(place: int) -> tuple[str, str]:
    """Colour and line style of a row: the run's own is the first."""
    greys = COLOURS[1:]
    if place == 0:
        return COLOURS[0], STYLES[0]
    return greys[(place - 1) % len(greys)], STYLES[(place - 1) // len(greys) % len(STYLES)]


def map_features(vectors: Tensor) -> np.ndarray | None:
    """``(N, 2)`` t-SNE map of ``(N, D)`` vectors; None of fewer than four, or where all are the same."""
    if len(vectors) < 4 or center_and_scale(vectors)[1].isinf():
        return None
    return tsne(vectors)


def draw_feature_maps(
    maps: dict[str, np.ndarray | None], labels: Tensor, results: Rows, classes: list[str], path: Path
) -> None:
    """The test features of every row in two dimensions, coloured by class.

    Args:
        maps: ``(N, 2)`` points of every row; None where there is no map.
        labels: ``(N,)``, of the same examples.
        results: accuracies by row.
        classes: names in label order.
        path: path of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(maps), 4.6), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        if points is None:
            axes.text(0.5, 0.5, "too few examples, or all\nfeatures are the same", ha="center", va="center")
        else:
            scatter_classes(axes, points, labels.cpu().numpy(), size=8)
        axes.set_title(f"{name}: kNN {100 * results[name][KNN][ALL].mean:.1f} %", fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
    class_legend(figure, classes, columns=min(10, 4 * len(maps)))
    figure.savefig(path, dpi=120)


def draw_plain_maps(maps: dict[str, np.ndarray | None], path: Path) -> None:
    """The test features of every row in two dimensions, without classes; arguments as of `draw_feature_maps`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(maps), 4.6), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        if points is None:
            axes.text(0.5, 0.5, "too few examples, or all\nfeatures are the same", ha="center", va="center")
        else:
            scatter_classes(axes, points, np.full(len(points), UNLABELLED), size=8)
        axes.set_title(name, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig(path, dpi=120)


def draw_layer_weights(tasks: dict[str, dict[str, TaskScore]], path: Path, title: str) -> None:
    """What each layer of the trained and of the untrained encoder counts in the probes, as bars, task by task."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(3.6 * len(tasks) + 0.6, 4.0), layout="constrained")
    for axes, (task, rows) in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks.items(), strict=True):
        encoders = list(rows.items())[:2]
        for place, ((name, found), colour) in enumerate(zip(encoders, COLOURS, strict=False)):
            shares = 100 * np.array(found.layers)
            label = f"{name}: {100 * found.accuracy:.1f} %"
            axes.bar(np.arange(len(shares)) + 0.4 * place - 0.2, shares, 0.4, color=colour, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.set_xlabel("layer")
        axes.set_ylim(0, 100)
        axes.set_title(task, fontsize=11)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below, over no bar
    figure.supylabel("weight (%)", fontsize=10)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=150)


def look_of_class(label: int) -> tuple[str, str]:
    """Colour and marker of a class: neither repeats within a hundred together; without one, those of a run."""
    if label == UNLABELLED:
        return COLOURS[0], CLASS_MARKERS[0]
    return CLASS_COLOURS[label % len(CLASS_COLOURS)], CLASS_MARKERS[label // len(CLASS_COLOURS) % len(CLASS_MARKERS)]


def scatter_classes(axes: Any, points: np.ndarray, labels: np.ndarray, size: float) -> None:
    """Points ``(N, 2)`` by their classes ``(N,)``, in the order of the examples, so that no class covers another."""
    colours = np.array([look_of_class(label)[0] for label in labels.tolist()])
    markers = np.array([look_of_class(label)[1] for label in labels.tolist()])
    for marker in dict.fromkeys(markers.tolist()):
        here = markers == marker
        axes.scatter(*points[here].T, c=colours[here], marker=marker, s=size, linewidths=0.8 if marker in "x+" else 0)


def class_legend(figure: Any, classes: list[str], columns: int, fontsize: float = 10) -> None:
    """Names of the classes below a figure, which grows by their height; none where they are more than one reads."""
    from matplotlib.lines import Line2D

    if not 0 < len(classes) <= LEGEND_CLASSES:
        return
    handles = []
    for label in range(len(classes)):
        colour, marker = look_of_class(label)
        edge = colour if marker in "x+" else "none"  # these two have nothing but edges
        handles.append(Line2D([], [], linestyle="", marker=marker, markeredgecolor=edge, markerfacecolor=colour))
    # As many columns as have room for the longest name.
    room = int(figure.get_figwidth() * 72 / (fontsize * (0.62 * max(map(len, classes)) + 4)))
    columns = max(1, min(columns, room, len(classes)))
    lines = math.ceil(len(classes) / columns)
    # Columns fill from above: with one more than has to be, the second class would stand alone in the second line.
    columns = math.ceil(len(classes) / lines)
    figure.set_figheight(figure.get_figheight() + 0.2 * (lines - 1))
    figure.legend(handles, classes, loc="outside lower center", ncols=columns, frameon=False, fontsize=fontsize)


def tsne(vectors: Tensor) -> np.ndarray:
    """``(N, 2)`` t-SNE map (van der Maaten and Hinton, 2008) of ``(N, D)`` vectors, the same at every call."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    points = vectors.cpu().numpy()
    if min(points.shape) > 50:
        points = PCA(50, random_state=0).fit_transform(points)
    init = "pca" if points.shape[1] > 1 else "random"
    perplexity = min(30, (len(points) - 1) / 3)
    return TSNE(init=init, perplexity=perplexity, random_state=0).fit_transform(points)
