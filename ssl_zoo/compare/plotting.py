"""How every picture of a comparison looks, and that it is the same file at every call."""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

# Okabe and Ito's colours, which everybody can distinguish, without the orange-red that is the ceiling's.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P")
COLUMNS = 4

# Darker and lighter grey lines for what was not pretrained, a pattern of its own for each of eight.
DASHES: tuple[Any, ...] = ("-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
BASELINES = tuple((colour, dashes) for dashes in DASHES for colour in ("#6A6A6A", "#A0A0A0"))


class Style(NamedTuple):
    """Colour, marker and line of one row of a leaderboard."""

    colour: str
    marker: str
    line: Any


def style_of(number: int) -> Style:
    """The style of the method at this place of the leaderboard, the same in every picture."""
    return Style(COLOURS[number % len(COLOURS)], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)], "-")


def baseline_style(number: int) -> Style:
    """The style of a baseline."""
    return Style(BASELINES[number % len(BASELINES)][0], "", BASELINES[number % len(BASELINES)][1])


def grid_of_axes(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with `count` panels in rows of at most four, each of this size in inches."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def wrap(label: str, width: int = 40) -> str:
    """A label in lines that fit above a panel, broken at blanks and underscores where there are some."""
    lines = [""]
    for part in re.findall(r"[^ _]*[ _]?", label):
        while len(part.rstrip()) > width:
            lines[-1], part = lines[-1] + part[: width - len(lines[-1])], part[width - len(lines[-1]) :]
            lines.append("")
        if len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(filter(None, map(str.rstrip, lines)))


def legend_below(figure: Any) -> None:
    """One legend for all panels, below them where it hides nothing; the figure grows by its height."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    columns = 2 if max(map(len, found), default=0) > 24 else 3
    labels = [wrap(label) for label in found]
    lines = math.ceil(sum(label.count("\n") + 1 for label in labels) / columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * lines)
    figure.legend(found.values(), labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def scale_costs(axes: Any, costs: list[float]) -> None:
    """Costs along the horizontal axis with metric prefixes: logarithmic if they differ more than tenfold, or from 0."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    if max(costs) > 10 * min(costs) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.12)
    else:
        axes.set_xlim(0, 1.12 * max(costs) or 1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))


def save(figure: Any, path: Path) -> None:
    """Writes a PNG without the version of the library in it."""
    figure.savefig(path, dpi=130, metadata={"Software": None})
