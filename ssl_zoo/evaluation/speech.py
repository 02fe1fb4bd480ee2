"""What the frozen layers of a speech encoder know: tasks like SUPERB's, on features computed once."""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.recordings import Recordings
from ssl_zoo.evaluation.frames import (
    choose_moments,
)
from ssl_zoo.evaluation.listening import Asked, Listener, listen, listen_to_log_mel
from ssl_zoo.evaluation.rows import Extracted, Rows
from ssl_zoo.probes.accuracy import scores
from ssl_zoo.probes.weighted_layers import fit_weighted

PHONES = "phones"
STATISTICS = "log-mel statistics"
MAJORITY = "majority class"
# A probe of 50 phones on as many takes seconds; of the 100 minutes of FestvoxRu it is every fifth moment.
MOMENTS = {"train": 40_000, "validation": 10_000, "test": 20_000}
Found = dict[str, Any]  # accuracy, balanced accuracy where classes differ in size, and the layers' shares
Tasks = dict[str, dict[str, Found]]  # by task and by row


def has_tasks(data: Any) -> bool:
    """Whether data, set up, has tasks besides its classes."""
    return isinstance(data, AudioData) and bool(data.tasks or data.phones)


class Questions(NamedTuple):
    """What is asked of every representation.

    Attributes:
        parts: of the data, by name.
        labels: of the recordings asked for, by task and by part; -1 where unknown.
        phones: at the moments asked for, by part; empty without a task of phones.
        sizes: by task, how many classes, and labels in every part, there are.
    """

    parts: dict[str, Asked]
    labels: dict[str, dict[str, Tensor]]
    phones: dict[str, Tensor]
    sizes: dict[str, dict[str, int]]


def speech_rows(
    data: AudioData, listeners: dict[str, Listener], device: torch.device
) -> tuple[Rows, dict[str, dict[str, int]]]:
    """The rows of encoders and of the log-mel baseline, and of every task how many classes and labels it has.

    Args:
        data: set up.
        listeners: by row of the table.
        device: where the listeners are.
    """
    questions = _questions(data)
    every = listeners | {STATISTICS: listen_to_log_mel(data.sample_rate)}
    rows: Rows = {row: partial(_extract, listener, row, questions, device) for row, listener in every.items()}
    last = rows[STATISTICS]

    def with_majority() -> Extracted:
        extracted = last()
        for task, known in {**questions.labels, PHONES: questions.phones}.items():
            if known:
                extracted.tasks[task][MAJORITY] = _majority(known)
        return extracted

    return rows | {STATISTICS: with_majority}, questions.sizes


def _questions(data: AudioData) -> Questions:
    """Tasks with at least two classes in the training and in the test part, and some label to choose by."""
    parts = {"train": data.train_set, "validation": data.validation_set, "test": data.test_set}
    asked = {name: _ask(part, MOMENTS[name]) for name, part in parts.items()}
    labels = {
        task: {name: part.tasks[task][asked[name].utterances] for name, part in parts.items()} for task in data.tasks
    }
    labels = {task: known for task, known in labels.items() if _can_be_asked(known)}
    phones = {name: each.moments.labels for name, each in asked.items()}
    phones = phones if _can_be_asked(phones) else {}
    sizes = {task: _sizes(len(data.tasks[task]), known) for task, known in labels.items()}
    if phones:
        sizes[PHONES] = _sizes(len(data.phones), phones)
    return Questions(asked, labels, phones, sizes)


def _can_be_asked(known: dict[str, Tensor]) -> bool:
    classes = {name: len(labels[labels >= 0].unique()) for name, labels in known.items()}
    return classes["train"] > 1 and classes["test"] > 1 and classes["validation"] > 0


def _extract(listener: Listener, row: str, questions: Questions, device: torch.device) -> Extracted:
    """One pass over all recordings, and the probes of every task on its layers."""
    caches = {name: listen(listener, each, device) for name, each in questions.parts.items()}
    tasks: Tasks = {}
    for task, known in questions.labels.items():
        vectors = {name: (cache.utterances, known[name]) for name, cache in caches.items()}
        tasks[task] = {row: _evaluate(vectors, questions.sizes[task]["classes"])}
    if questions.phones:
        tasks[PHONES] = {}
        for frame_row, dimensions in listener.frame_rows.items():
            frames = {name: (cache.frames[..., dimensions], questions.phones[name]) for name, cache in caches.items()}
            tasks[PHONES][frame_row] = _evaluate(frames, questions.sizes[PHONES]["classes"])
    return Extracted({name: cache.features for name, cache in caches.items()}, tasks)


def _ask(examples: Recordings, most: int) -> Asked:
    labelled = torch.zeros(len(examples), dtype=torch.bool)
    for labels in examples.tasks.values():
        labelled |= labels >= 0
    return Asked(examples, labelled.nonzero()[:, 0], choose_moments(examples, most))


def _evaluate(vectors: dict[str, tuple[Tensor, Tensor]], classes: int) -> Found:
    """Scores on test data of the probe that validation data chooses, and the layers' shares.

    Args:
        vectors: by part, ``(L, N, D)`` and their labels ``(N,)``, -1 where unknown.
        classes: number of classes.
    """
    known = {}
    for name, (layers, labels) in vectors.items():
        chosen = (labels >= 0).nonzero()[:, 0].to(layers.device)
        known[name] = layers[:, chosen], labels.to(layers.device)[chosen]
    probe = fit_weighted(*known["train"], known["validation"], classes)
    layers, labels = known["test"]
    return {**scores(probe.predict(layers), labels), "layers": [round(share, 4) for share in probe.shares.tolist()]}


def _sizes(classes: int, known: dict[str, Tensor]) -> dict[str, int]:
    return {"classes": classes, **{name: int((labels >= 0).sum()) for name, labels in known.items()}}


def _majority(known: dict[str, Tensor]) -> Found:
    """Scores of always predicting what is commonest in the training part."""
    train, test = (known[name][known[name] >= 0] for name in ("train", "test"))
    return scores(train.mode().values.expand_as(test), test)
