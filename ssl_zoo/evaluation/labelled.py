"""What the labels of a data set allow to be evaluated, and what they do not, in sentences."""

from torch import Tensor

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.tasks import has_tasks

FEW_TESTS = 20


def check_choices(labels_per_class: list[int], draws: int, command: str = "probe") -> None:
    """Refuses settings of the evaluation with few labels that nothing can be evaluated by.

    Args:
        labels_per_class: labels per class to try.
        draws: random choices of the labelled examples.
        command: the one they belong to, for messages.

    Raises:
        InputError: one of them is less than 1.
    """
    if draws < 1:
        raise InputError(f"{command}: draws is {draws}: it must be at least 1.")
    if any(labels < 1 for labels in labels_per_class):
        raise InputError(f"{command}: labels_per_class is {labels_per_class}: each must be at least 1.")


def count_classes(data: DataModule, owner: str) -> int:
    """Number of classes of labelled data; 0 where only other tasks can be evaluated.

    Args:
        data: set up.
        owner: whose data it is, for messages.

    Raises:
        InputError: there is nothing to evaluate, with labels at least.
    """
    reason = nothing_to_evaluate(data)
    if reason and not has_tasks(data):
        raise InputError(f"There is nothing to evaluate on the data of {owner}: {reason}.")
    return 0 if reason else 1 + max(int(labels.max()) for labels in _labels(data))


def nothing_to_evaluate(data: DataModule) -> str:
    """Why the classes of some data cannot distinguish representations, as a clause; empty where they can."""
    for name, part in data.parts().items():
        if len(part) == 0:
            return f"the {'training' if name == 'train' else name} part is empty"
    labels = _labels(data)
    if len(labels) < len(data.parts()):
        return "the data has no labels"
    train, _, test = (set(part.unique().tolist()) for part in labels)
    if len(train | test) < 2:
        return "all examples of the data are of one class"
    if len(data.test_set) == 1:
        return "the test part has a single example, so that any accuracy would be 0 or 100 %"
    if len(test) < 2:
        return "all examples of the test part are of one class"
    if not train & test:
        return "no class of the test part has an example in the training part"
    if len(train) < 2:
        return "all examples of the training part are of one class"
    return ""


def remarks_on(data: DataModule, labels_per_class: list[int]) -> list[str]:
    """Sentences about what numbers on this data do not say; for data that can be evaluated.

    Args:
        data: set up, with labels.
        labels_per_class: numbers of labels that are tried.
    """
    train, _, test = _labels(data)
    return remarks_on_labels(train, test, labels_per_class)


def remarks_on_labels(train: Tensor, test: Tensor, labels_per_class: list[int]) -> list[str]:
    """Sentences about what accuracies on test labels do not say.

    Args:
        train: ``(N,)`` int64 labels to learn from.
        test: ``(M,)`` int64 labels to be predicted.
        labels_per_class: numbers of labels that are tried.
    """
    found = []
    counts = train.bincount(minlength=int(test.max()) + 1)
    unknown = int((counts[test.unique()] == 0).sum())
    if unknown:
        few = f"{unknown} of {len(test.unique())} classes of the test part have no training example"
        found.append(f"{few}: their examples count as errors of every row.")
    sizes = counts[counts > 0]
    short = {labels: int((sizes < labels).sum()) for labels in sorted(labels_per_class) if labels > sizes.min()}
    if short:
        fewer = ", ".join(f"{count} of {len(sizes)} at {labels} per class" for labels, count in short.items())
        found.append(
            f"Some classes have fewer training examples than are asked for, {fewer}, and give all they have; the "
            f"smallest has {int(sizes.min())}."
        )
    if len(test) < FEW_TESTS:
        found.append(f"The test part has {len(test)} examples: each is {100 / len(test):.1f} points of accuracy.")
    return found


def _labels(data: DataModule) -> list[Tensor]:
    """Those of the three parts, as far as they have some."""
    return [part.labels for part in data.parts().values() if part.labels is not None]
