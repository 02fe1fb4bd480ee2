"""The pictures of an evaluation: a new one is a function and an entry in `PICTURES`, and loggers have it.

Each draws into a file what there is to show, and writes none where there is nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.evaluation.figures import draw_feature_maps, draw_label_efficiency, draw_layer_weights
from ssl_zoo.evaluation.tables import title
from ssl_zoo.probes.features import Features
from ssl_zoo.runs.results import Result


class Shown(NamedTuple):
    """What pictures are drawn of.

    Attributes:
        result: all numbers.
        kept: features of at most 1,000 test examples by row, the run's own first; empty without classes.
        maps: ``(N, 2)`` points of these by row; None where there is no map.
        classes: names of the classes, in label order.
    """

    result: Result
    kept: dict[str, Features]
    maps: dict[str, np.ndarray | None]
    classes: list[str]


def label_efficiency(shown: Shown, path: Path) -> None:
    """Accuracy against labels per class."""
    if shown.result.rows:
        draw_label_efficiency(shown.result.rows, path, title=title(shown.result))


def feature_map(shown: Shown, path: Path) -> None:
    """Every row's features in two dimensions."""
    if shown.result.rows:
        labels = next(iter(shown.kept.values())).labels
        assert labels is not None, "features are kept where there are classes"
        draw_feature_maps(shown.maps, labels, shown.result.rows, shown.classes, path)


def layer_weights(shown: Shown, path: Path) -> None:
    """What every layer counts in the probes of further tasks."""
    if shown.result.tasks:
        draw_layer_weights(shown.result.tasks, path, title=title(shown.result))


# By name; `feature_map` is figures/feature_map.png of a run's folder, and figures/feature_map where it is logged.
PICTURES: dict[str, Callable[[Shown, Path], None]] = {
    "label_efficiency": label_efficiency,
    "feature_map": feature_map,
    "layer_weights": layer_weights,
}
