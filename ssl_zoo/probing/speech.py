"""What the frozen layers of a speech encoder know: tasks like SUPERB's, on features computed once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio import AudioData
from ssl_zoo.data.recordings import Recordings
from ssl_zoo.encoders.audio_base import mean_over_time
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.encoders.log_mel import log_mel, window_and_hop
from ssl_zoo.evaluation.accuracy import scores
from ssl_zoo.evaluation.features import Features, batches, similar_lengths, to_device
from ssl_zoo.evaluation.weighted_layers import fit_weighted
from ssl_zoo.probing.frames import (
    Moments,
    choose_moments,
    frames_at,
    in_few_bytes,
    mean_and_deviation,
    nearest_frames,
    real_counts,
)
from ssl_zoo.probing.rows import Extracted, Rows

PHONES = "phones"
STATISTICS = "log-mel statistics"
MAJORITY = "majority class"
# A probe of 50 phones on as many takes seconds; of the 100 minutes of FestvoxRu it is every fifth moment.
MOMENTS = {"train": 40_000, "validation": 10_000, "test": 20_000}
# The floor: frames of so many bands, put together with so many neighbours on either side.
MELS, CONTEXT = 80, 4

Found = dict[str, Any]  # accuracy, balanced accuracy where classes differ in size, and the layers' shares
Tasks = dict[str, dict[str, Found]]  # by task and by row


class Heard(NamedTuple):
    """What a representation makes of a batch of recordings.

    Attributes:
        vectors: ``(B, D)``, for the probes of pooled vectors.
        utterances: ``(L, B, D')``, one vector per layer and recording.
        frames: ``(B, N, D'')`` of every layer.
        mask: ``(B, N)`` bool, which frames are real; None when all are.
    """

    vectors: Tensor
    utterances: Tensor
    frames: tuple[Tensor, ...]
    mask: Tensor | None


class Listener(NamedTuple):
    """A representation of recordings.

    Attributes:
        hear: gives it.
        offset: the sample at the centre of frame 0.
        stride: samples from one frame to the next.
        context: neighbours on either side that a frame is put together with.
        frame_rows: which of its dimensions then make up which row of the table.
    """

    hear: Callable[[Batch], Heard]
    offset: int
    stride: int
    context: int
    frame_rows: dict[str, slice]


class Asked(NamedTuple):
    """What the tasks ask about a part of the data.

    Attributes:
        examples: the part.
        utterances: ``(U,)`` int64, positions of the recordings with a label in any task of utterances.
        moments: at which a phone is asked for.
    """

    examples: Recordings
    utterances: Tensor
    moments: Moments


class Cache(NamedTuple):
    """All that probes need of a part of the data, from one pass over its recordings.

    Attributes:
        features: of every recording, pooled.
        utterances: ``(L, U, D')``, float16 where it is enough.
        frames: ``(L, P, D'')``, likewise.
    """

    features: Features
    utterances: Tensor
    frames: Tensor


def listen_with(encoder: Any, represent: Callable[[Batch], Tensor], row: str) -> Listener:
    """Every layer of an encoder of speech, utterances being means over time.

    Args:
        encoder: the network.
        represent: ``(B, D)`` float32 vectors of a batch for the probes of pooled vectors, by means of the encoder.
        row: of the table.
    """

    def hear(batch: Batch) -> Heard:
        with _all_layers(encoder) as given:
            vectors = represent(batch)
        (encoded,) = given
        utterances = torch.stack([mean_over_time(layer, encoded.mask) for layer in encoded.layers])
        return Heard(vectors, utterances, encoded.layers, encoded.mask)

    return Listener(hear, encoder.offset, encoder.stride, 0, {row: slice(None)})


def listen_to_log_mel(sample_rate: int) -> Listener:
    """The floor: log-mel frames alone and with four neighbours on either side, utterances by mean and deviation."""
    window, hop = window_and_hop(sample_rate)

    def hear(batch: Batch) -> Heard:
        spectra, mask = log_mel(batch.inputs, batch.mask, sample_rate, MELS)
        statistics = mean_and_deviation(spectra, mask)
        return Heard(statistics, statistics[None], (spectra,), mask)

    middle = slice(CONTEXT * MELS, (CONTEXT + 1) * MELS)
    rows = {"log-mel frame": middle, f"log-mel, {2 * CONTEXT + 1} frames": slice(None)}
    return Listener(hear, window // 2, hop, CONTEXT, rows)


@contextmanager
def _all_layers(encoder: nn.Module) -> Iterator[list[Encoded]]:
    """Has an encoder give all layers, whoever calls it, and lists what it gives."""
    given: list[Encoded] = []

    def ask(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "layers": True}

    hooks = [
        encoder.register_forward_pre_hook(ask, with_kwargs=True),
        encoder.register_forward_hook(lambda module, args, encoded: given.append(encoded)),
    ]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()


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


@torch.no_grad()
def listen(listener: Listener, asked: Asked, device: torch.device) -> Cache:
    """One pass over a part's recordings, the longest first; what is kept is in the part's order, on `device`."""
    vectors, labels, heard_utterances, heard_frames = [], [], [], []
    order = similar_lengths(asked.examples)
    chosen_utterances, chosen_moments = [], []
    for positions, batch in zip(
        order.split(asked.examples.fetched_at_once), batches(asked.examples, order), strict=True
    ):
        heard = listener.hear(to_device(batch, device))
        vectors.append(heard.vectors.float())
        labels.append(batch.labels)
        wanted = torch.isin(positions, asked.utterances)
        chosen_utterances.append(positions[wanted])
        heard_utterances.append(in_few_bytes(heard.utterances[:, wanted.to(device)]))
        places, rows = asked.moments.of(positions)
        chosen_moments.append(places)
        samples, rows = asked.moments.samples[places].to(device), rows.to(device)
        counts = real_counts(heard.frames[0], heard.mask)[rows]
        nearest = nearest_frames(samples, counts, listener.offset, listener.stride)
        found = [frames_at(layer, rows, nearest, counts, listener.context) for layer in heard.frames]
        heard_frames.append(in_few_bytes(torch.stack(found)))
    back, utterances_back, moments_back = (
        chosen.argsort().to(device) for chosen in (order, torch.cat(chosen_utterances), torch.cat(chosen_moments))
    )
    known = [part for part in labels if part is not None]
    features = Features(torch.cat(vectors)[back], torch.cat(known).to(device)[back] if known else None)
    return Cache(
        features, torch.cat(heard_utterances, 1)[:, utterances_back], torch.cat(heard_frames, 1)[:, moments_back]
    )


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
