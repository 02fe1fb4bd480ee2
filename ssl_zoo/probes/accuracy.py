"""How good predictions are, and over how many draws of the labelled examples."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.whereabouts import whereabouts

# Largest class over smallest from which on accuracy alone says too little: always predicting the largest pays.
UNEVEN = 1.1


class Score(NamedTuple):
    """An accuracy over draws of the labelled examples.

    Attributes:
        mean: over draws, in [0, 1].
        std: standard deviation over draws; 0 of a single one.
        draws: the accuracy of every draw.
        balanced: the mean accuracy over classes, where these differ in size.
        chosen: the probe's settings in every draw; None where there are none.
    """

    mean: float
    std: float
    draws: list[float]
    balanced: "Score | None" = None
    chosen: list[dict[str, float]] | None = None


Results = dict[str, dict[str, Score]]  # by probe and by labels per class, "all" being one


class Prediction(NamedTuple):
    """What a probe predicts, and how it was fitted.

    Attributes:
        classes: ``(M,)`` int64.
        chosen: settings of the probe, by name.
    """

    classes: Tensor
    chosen: dict[str, float]


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The share in [0, 1] of ``(M,)`` predictions that are right."""
    return float((predicted == labels).float().mean())


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The accuracy in each class that occurs among the labels, averaged over these classes: chance is 1 / classes."""
    right = (predicted == labels).double()
    count = labels.bincount().double()
    occurs = count > 0
    return float((labels.bincount(right)[occurs] / count[occurs]).mean())


def is_uneven(labels: Tensor) -> bool:
    """Whether classes differ in size by more than a tenth, those that occur."""
    counts = labels.bincount()
    counts = counts[counts > 0]
    return bool(counts.max() > UNEVEN * counts.min())


def is_informative(known: Tensor, wanted: Tensor) -> bool:
    """Whether an accuracy can say anything: of two classes or more on either side, some of which occur on both.

    Args:
        known: ``(N,)`` int64 labels to learn from.
        wanted: ``(M,)`` int64 labels to be predicted.
    """
    classes, asked = known.unique(), wanted.unique()
    return len(classes) > 1 and len(asked) > 1 and bool(torch.isin(asked, classes).any())


def scores(predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """The accuracy, and where the classes differ in size the balanced accuracy, by name."""
    found = {"accuracy": accuracy(predicted, labels)}
    return {**found, "balanced": balanced_accuracy(predicted, labels)} if is_uneven(labels) else found


def summarize(draws: list[dict[str, float]]) -> Score:
    """The accuracy over draws, and where it is known the balanced one.

    Args:
        draws: the `scores` of at least one draw.
    """
    balanced = over_values([found["balanced"] for found in draws]) if "balanced" in draws[0] else None
    return over_values([found["accuracy"] for found in draws])._replace(balanced=balanced)


def over_values(values: list[float]) -> Score:
    """The mean and the standard deviation of at least one value in [0, 1]."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return Score(mean, math.sqrt(variance), values)


def over_draws(
    predict: Callable[[Tensor, bool], dict[str, Prediction]],
    known: Tensor,
    wanted: Tensor,
    labels_per_class: list[int],
    draws: int,
) -> Results:
    """The scores of every probe for every number of labels.

    Args:
        predict: gives every probe's prediction of the test examples, fitted on the training examples at some positions;
            its second argument says whether these are all, and validation data may choose what there is to choose.
        known: ``(N,)`` labels of the training examples.
        wanted: ``(M,)`` labels of the test examples.
        labels_per_class: numbers of labels to try, besides all.
        draws: random choices of the labelled examples.

    Returns:
        By probe and by labels per class what `summarize` gives, with the settings of every draw.
    """
    results: Results = {}
    for labels in [*sorted(set(labels_per_class)), None]:
        found: dict[str, list[Prediction]] = {}
        for draw in range(draws if labels else 1):
            doing = (
                f"{labels} label{'s' if labels > 1 else ''} per class, draw {draw + 1} of {draws}"
                if labels
                else "all labels"
            )
            with whereabouts.during(doing):
                for kind, prediction in predict(draw_labelled(known, labels, draw), labels is None).items():
                    found.setdefault(kind, []).append(prediction)
        for kind, predictions in found.items():
            score = summarize([scores(prediction.classes, wanted) for prediction in predictions])
            chosen = [prediction.chosen for prediction in predictions]
            results.setdefault(kind, {})[str(labels or "all")] = score._replace(chosen=chosen)
    return results


def draw_labelled(labels: Tensor, per_class: int | None, draw: int) -> Tensor:
    """Positions of the labelled examples: a random choice of `per_class` from every class.

    Args:
        labels: ``(N,)`` int64.
        per_class: how many; fewer from a class that has fewer; None takes all examples.
        draw: number of the choice. The same number gives the same choice, whatever features it is used on.

    Returns:
        int64 positions, class by class.
    """
    if per_class is None:
        return torch.arange(len(labels), device=labels.device)
    generator = torch.Generator().manual_seed(draw)
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    shuffled = labels[order]
    return torch.cat([order[shuffled == label][:per_class] for label in shuffled.unique()])
