"""What the frozen layers of a speech encoder know: tasks like SUPERB's, on features computed once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio import AudioData
from ssl_zoo.data.recordings import Recordings
from ssl_zoo.encoders.audio_base import mean_over_time
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.encoders.log_mel import log_mel, window_and_hop
from ssl_zoo.evaluation.features import Features, batches, similar_lengths, to_device
from ssl_zoo.evaluation.weighted_layers import fit_weighted
from ssl_zoo.probing.frames import Moments, choose_moments, frames_at, mean_and_deviation, nearest_frames, real_counts

PHONES = "phones"
STATISTICS = "log-mel statistics"
MAJORITY = "majority class"
# A probe of 50 phones on as many takes seconds; of the 100 minutes of FestvoxRu it is every fifth moment.
MOMENTS = {"train": 40_000, "validation": 10_000, "test": 20_000}
# The floor: frames of so many bands, put together with so many neighbours on either side.
MELS, CONTEXT = 80, 4

Found = dict[str, Any]  # accuracy, and the layers' shares
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
        utterances: ``(L, U, D')`` float16.
        frames: ``(L, P, D'')`` float16.
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


def probe_speech(
    data: AudioData, listeners: dict[str, Listener], device: torch.device
) -> tuple[dict[str, dict[str, Features]], Tasks, dict[str, dict[str, int]]]:
    """Hears all recordings once with every listener, and judges its layers in every task.

    Args:
        data: set up.
        listeners: by row of the table.
        device: where the listeners are.

    Returns:
        Pooled features by row and part; accuracies by task and row, with the layers' shares; and for every task how
        many classes, and labels in every part, there are.
    """
    parts = {"train": data.train_set, "validation": data.validation_set, "test": data.test_set}
    asked = {name: _ask(part, MOMENTS[name]) for name, part in parts.items()}
    labels = {task: {name: part.tasks[task] for name, part in parts.items()} for task in data.tasks}
    labels = {task: known for task, known in labels.items() if all((each >= 0).any() for each in known.values())}
    phones = {name: each.moments.labels for name, each in asked.items()}
    sizes = {task: _sizes(len(data.tasks[task]), known) for task, known in labels.items()}
    tasks: Tasks = {task: {} for task in labels}
    if all(len(each) for each in phones.values()):
        tasks[PHONES], sizes[PHONES] = {}, _sizes(len(data.phones), phones)

    splits = {}
    for row, listener in listeners.items():
        caches = {name: listen(listener, each, device) for name, each in asked.items()}
        splits[row] = {name: cache.features for name, cache in caches.items()}
        for task, known in labels.items():
            vectors = {name: (cache.utterances, known[name][asked[name].utterances]) for name, cache in caches.items()}
            tasks[task][row] = _judge(vectors, sizes[task]["classes"])
        if PHONES in tasks:
            for frame_row, dimensions in listener.frame_rows.items():
                vectors = {name: (cache.frames[..., dimensions], phones[name]) for name, cache in caches.items()}
                tasks[PHONES][frame_row] = _judge(vectors, sizes[PHONES]["classes"])
    for task, known in {**labels, PHONES: phones}.items():
        if task in tasks:
            tasks[task][MAJORITY] = {"accuracy": _majority(known)}
    return splits, tasks, sizes


def probe_beside_log_mel(
    data: AudioData, listeners: dict[str, Listener], device: torch.device
) -> tuple[dict[str, dict[str, Features]], dict[str, Any]]:
    """Judges listeners and the floor as `probe_speech` does; pooled features, and what tasks add to results.json."""
    floor = {STATISTICS: listen_to_log_mel(data.sample_rate)}
    splits, tasks, sizes = probe_speech(data, listeners | floor, device)
    return splits, {"tasks": tasks, "task_sizes": sizes} if tasks else {}


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
        heard_utterances.append(heard.utterances[:, wanted.to(device)].half())
        places, rows = asked.moments.of(positions)
        chosen_moments.append(places)
        samples, rows = asked.moments.samples[places].to(device), rows.to(device)
        counts = real_counts(heard.frames[0], heard.mask)[rows]
        nearest = nearest_frames(samples, counts, listener.offset, listener.stride)
        found = [frames_at(layer, rows, nearest, counts, listener.context).half() for layer in heard.frames]
        heard_frames.append(torch.stack(found))
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


def _judge(vectors: dict[str, tuple[Tensor, Tensor]], classes: int) -> Found:
    """The accuracy on test data, and the layers' shares.

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
    accuracy = float((probe.predict(layers) == labels).float().mean())
    return {"accuracy": accuracy, "layers": [round(share, 4) for share in probe.shares.tolist()]}


def _sizes(classes: int, known: dict[str, Tensor]) -> dict[str, int]:
    return {"classes": classes, **{name: int((labels >= 0).sum()) for name, labels in known.items()}}


def _majority(known: dict[str, Tensor]) -> float:
    """The accuracy of always saying what is commonest in the training part."""
    train, test = (known[name][known[name] >= 0] for name in ("train", "test"))
    return float((test == train.mode().values).float().mean())
