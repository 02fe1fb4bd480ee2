"""Tasks besides the classes, of examples or of places within them: a probe on all layers, as in SUPERB."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.representations import PlaceRow, Representation
from ssl_zoo.evaluation.extraction import Kept, Wanted
from ssl_zoo.evaluation.layers import choose_layered
from ssl_zoo.probes.accuracy import scores
from ssl_zoo.probes.weighted_layers import fit_weighted
from ssl_zoo.runs.results import Tasks, TaskScore
from ssl_zoo.tasks.labels import CLASSES, UNKNOWN, ExampleLabels, Labels, PlaceLabels, can_be_asked, known_labels

MAJORITY = "majority class"
ALWAYS_THE_SAME = "what is commonest, whatever the input"
# A probe of 50 phones on as many takes seconds; of the 100 minutes of FestvoxRu it is every fifth moment.
PLACES = {"train": 40_000, "validation": 10_000, "test": 20_000}


class Questions(NamedTuple):
    """What is asked of every representation.

    Attributes:
        parts: parts of the data, by name.
        of_examples: the tasks with one class per example.
        of_places: the tasks with one class per place.
    """

    parts: dict[str, Wanted]
    of_examples: dict[str, ExampleLabels]
    of_places: dict[str, PlaceLabels]

    @property
    def tasks(self) -> dict[str, Labels]:
        """All of them."""
        return {**self.of_examples, **self.of_places}

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """By task, how many classes, and labels in every part, there are."""
        return {
            name: {"classes": len(task.classes), **{part: len(labels) for part, labels in known_labels(task).items()}}
            for name, task in self.tasks.items()
        }


def has_tasks(data: DataModule) -> bool:
    """Whether data, set up, has tasks besides its classes."""
    return any(task != CLASSES for task in data.tasks())


def ask(data: DataModule, by_layer: bool) -> Questions:
    """The tasks besides the classes that can be evaluated, and what they ask about the parts.

    Args:
        data: set up.
        by_layer: whether every layer is probed on the classes, too.
    """
    of_examples: dict[str, ExampleLabels] = {}
    of_places: dict[str, PlaceLabels] = {}
    for name, task in data.tasks().items():
        if isinstance(task, PlaceLabels):
            task = task._replace(parts={part: places.spread(PLACES[part]) for part, places in task.parts.items()})
            if can_be_asked(task):
                of_places[name] = task
        elif name != CLASSES and can_be_asked(task):
            of_examples[name] = task
    parts = {}
    for part, examples in data.parts().items():
        layered = torch.zeros(len(examples), dtype=torch.bool)
        for task in of_examples.values():
            layered |= task.parts[part] != UNKNOWN
        if by_layer:
            layered[choose_layered(len(examples))] = True
        places = {name: task.parts[part] for name, task in of_places.items()}
        parts[part] = Wanted(examples, layered.nonzero()[:, 0], places)
    return Questions(parts, of_examples, of_places)


def evaluate_tasks(row: str, representation: Representation, kept: dict[str, Kept], questions: Questions) -> Tasks:
    """What a representation reaches in every task besides the classes.

    Args:
        row: row of the table.
        representation: says what its rows at places are.
        kept: what was kept of every part.
        questions: what was asked.
    """
    found: Tasks = {}
    for name, task in questions.of_examples.items():
        vectors = {}
        for part, each in kept.items():
            alike = [layer for layer in each.layers if layer.shape[1] == each.layers[-1].shape[1]]
            vectors[part] = torch.stack(alike), task.parts[part][questions.parts[part].layered]
        found[name] = {row: evaluate_weighted(vectors, len(task.classes))}
    for name, at_places in questions.of_places.items():
        if any(name not in each.places for each in kept.values()):
            continue  # of whole examples alone
        found[name] = {}
        for place_row, (dimensions, _) in (representation.place_rows or {row: PlaceRow(slice(None), "")}).items():
            places = {
                part: (each.places[name][..., dimensions], at_places.parts[part].labels) for part, each in kept.items()
            }
            found[name][place_row] = evaluate_weighted(places, len(at_places.classes))
    return found


def evaluate_weighted(vectors: dict[str, tuple[Tensor, Tensor]], classes: int) -> TaskScore:
    """Scores on test data of the probe that validation data chooses, and the layers' shares.

    Args:
        vectors: vectors by part, ``(L, N, D)`` and their labels ``(N,)``, -1 where unknown.
        classes: number of classes.
    """
    known = {}
    for name, (layers, labels) in vectors.items():
        chosen = (labels != UNKNOWN).nonzero()[:, 0].to(layers.device)
        known[name] = layers[:, chosen], labels.to(layers.device)[chosen]
    probe = fit_weighted(*known["train"], known["validation"], classes)
    layers, labels = known["test"]
    shares = [round(share, 4) for share in probe.shares.tolist()]
    found = scores(probe.predict(layers), labels)
    return TaskScore(found["accuracy"], found.get("balanced"), shares)


def majorities(questions: Questions) -> Tasks:
    """Scores of always predicting what is commonest in the training part, by task."""
    return {name: {MAJORITY: majority(known_labels(task))} for name, task in questions.tasks.items()}


def majority(known: dict[str, Tensor]) -> TaskScore:
    """Scores of always predicting what is commonest in the training part.

    Args:
        known: ``(N,)`` int64 labels of every part.
    """
    found = scores(known["train"].mode().values.expand_as(known["test"]), known["test"])
    return TaskScore(found["accuracy"], found.get("balanced"))
