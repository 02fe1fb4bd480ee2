"""The test features that a probed run keeps, small enough to stay: for feature maps, and for CKA between runs."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ssl_zoo.data.base import Examples
from ssl_zoo.evaluation.features import Features

EXAMPLES = 1000


class KeptFeatures(NamedTuple):
    """The first test examples as a run's encoder sees them.

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


def save_features(path: Path, test: Features, examples: Examples, points: np.ndarray, classes: list[str]) -> None:
    """Writes the first test features, their labels, positions and map.

    Args:
        path: of the .npz file.
        test: features of the whole test set in order, with labels.
        examples: the test set.
        points: ``(N, 2)`` map of the first N features.
        classes: names of the classes, in label order.
    """
    assert test.labels is not None
    count = min(EXAMPLES, len(points))
    vectors = test.vectors[:count].float().cpu()
    scale = vectors.square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)  # float16 ends at 65,504
    np.savez_compressed(
        path,
        features=(vectors / scale).half().numpy(),
        labels=test.labels[:count].cpu().numpy(),
        index=examples.__getitems__(list(range(count))).index.numpy(),
        map=points[:count].astype(np.float32),
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
