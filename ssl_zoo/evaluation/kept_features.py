"""The test features that a probed run keeps, small enough to stay: for feature maps, and for CKA between runs."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ssl_zoo.data.examples import Examples
from ssl_zoo.probes.features import Features, choose_examples

EXAMPLES = 1000


class KeptFeatures(NamedTuple):
    """At most 1,000 test examples, chosen at random once for all runs, as a run's encoder sees them.

    Attributes:
        features: ``(N, D)`` float16, of unit root mean square.
        labels: ``(N,)`` int64.
        index: ``(N,)`` int64, which examples of the data set they are.
        map: ``(N, 2)`` float32, the features in two dimensions.
        classes: names of the classes, in label order.
    """

    features: np.ndarray
    labels: np.ndarray
    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index, which nobody asks of features
    map: np.ndarray
    classes: list[str]


def save_features(
    path: Path, kept: Features, examples: Examples, points: np.ndarray | None, classes: list[str]
) -> None:
    """Writes the features of the chosen test examples, their labels, positions and map.

    Args:
        path: path of the .npz file.
        kept: features and labels of the test examples that `choose_examples` chooses.
        examples: the whole test set.
        points: ``(N, 2)`` map of them; None stands for one point that all are at.
        classes: names of the classes, in label order.
    """
    assert kept.labels is not None
    chosen = choose_examples(len(examples), EXAMPLES)
    points = np.zeros((len(chosen), 2)) if points is None else points
    vectors = kept.vectors.float().cpu()
    scale = vectors.square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)  # float16 ends at 65,504
    np.savez_compressed(
        path,
        features=(vectors / scale).half().numpy(),
        labels=kept.labels.cpu().numpy(),
        index=examples.__getitems__(chosen.tolist()).index.numpy(),
        map=points.astype(np.float32),
        classes=np.array(classes, dtype=np.str_),
    )


def load_features(path: Path) -> KeptFeatures:
    """Reads what `save_features` wrote.

    Raises:
        ValueError: the file is damaged or holds something else.
        OSError: the file cannot be read.
    """
    try:
        # Opened here, because NumPy leaves a damaged archive open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            kept = KeptFeatures(
                file["features"], file["labels"], file["index"], file["map"], [str(name) for name in file["classes"]]
            )
    except FileNotFoundError:
        raise
    except Exception as error:  # a truncated or foreign archive fails in many ways, all of them the file's
        raise ValueError(f"it is damaged ({type(error).__name__})") from error
    count = len(kept.features)
    if kept.features.ndim != 2 or kept.map.shape != (count, 2) or not len(kept.labels) == len(kept.index) == count:
        raise ValueError("its arrays do not fit each other")
    return kept
