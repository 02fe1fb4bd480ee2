"""Labels of examples, and of places within examples such as phones of a recording or words of a text."""

from typing import NamedTuple

import torch
from torch import Tensor

UNKNOWN = -1
# The task that is evaluated with few labels, too; the others are evaluated with all of theirs.
CLASSES = "classes"


class Places(NamedTuple):
    """Labelled places within the examples of a part, in order.

    Attributes:
        examples: ``(P,)`` int64, positions in the part, ascending.
        inputs: ``(P,)`` int64, raw inputs (samples, tokens, time steps) from the beginning of the example.
        labels: ``(P,)`` int64.
    """

    examples: Tensor
    inputs: Tensor
    labels: Tensor

    def of(self, examples: Tensor) -> tuple[Tensor, Tensor]:
        """Those of some examples: ``(Q,)`` where they stand here, and ``(Q,)`` in which of these examples each is.

        Args:
            examples: ``(B,)`` int64, positions in the part, all different.
        """
        starts, ends = (torch.searchsorted(self.examples, examples + later) for later in (0, 1))
        rows = torch.repeat_interleave(torch.arange(len(examples)), ends - starts)
        skipped = (ends - starts).cumsum(0) - ends  # places of earlier rows, less those that lie before this row's
        return torch.arange(len(rows)) - skipped[rows], rows

    def spread(self, most: int) -> "Places":
        """At most so many of them, evenly spread.

        Spread over all examples, and not all places of some of them: neighbours teach a probe little.
        """
        total = len(self.labels)
        if total <= most:
            return self
        chosen = torch.linspace(0, total - 1, most, dtype=torch.float64).round().long()
        return Places(*(values[chosen] for values in self))


class ExampleLabels(NamedTuple):
    """A task with one class per example.

    Attributes:
        classes: their names, in the order of the labels.
        parts: ``(N,)`` int64 of every example of a part, -1 where unknown; by `train`, `validation` and `test`.
    """

    classes: list[str]
    parts: dict[str, Tensor]


class PlaceLabels(NamedTuple):
    """A task with one class per place.

    Attributes:
        classes: their names, in the order of the labels.
        parts: where something is known, by `train`, `validation` and `test`.
    """

    classes: list[str]
    parts: dict[str, Places]


Labels = ExampleLabels | PlaceLabels


def known_labels(task: Labels) -> dict[str, Tensor]:
    """The labels of every part without those that are unknown, ``(K,)`` int64."""
    found = {name: part.labels if isinstance(part, Places) else part for name, part in task.parts.items()}
    return {name: labels[labels != UNKNOWN] for name, labels in found.items()}


def can_be_asked(task: Labels) -> bool:
    """Whether training and test part have two classes at least, and the validation part some label to choose by."""
    classes = {name: len(labels.unique()) for name, labels in known_labels(task).items()}
    return classes["train"] > 1 and classes["test"] > 1 and classes["validation"] > 0
