"""Labels of moments: what is said at the centre of every frame, and every 20 ms."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.audio.recordings import Recordings
from ssl_zoo.data.audio.sources.base import UNLABELLED
from ssl_zoo.tasks.labels import ExampleLabels, Labels, PlaceLabels, Places

PHONES = "phones"
GRID = 0.02  # seconds from one moment to the next


def frame_labels(examples: Recordings, position: int, centers: Tensor) -> Tensor:
    """The phone that is said at some moments of one example.

    Args:
        examples: a part of the data.
        position: position of the example in this part.
        centers: ``(N,)`` in samples from the beginning of the recording, as a front end's offset and stride give them.

    Returns:
        ``(N,)`` int64, numbers of phones; -1 after the last segment and where the recording has no segments.
    """
    segments = examples.segments[position]
    if segments is None:
        return torch.full((len(centers),), UNLABELLED)
    # A segment's end belongs to the next one.
    places = np.searchsorted(segments.ends, centers.double().numpy() / examples.sample_rate, side="right")
    return torch.from_numpy(np.append(segments.phones, UNLABELLED)[places])


def recording_tasks(classes: dict[str, list[str]], parts: Mapping[str, Recordings]) -> dict[str, Labels]:
    """The tasks with one label per recording besides their classes, by name.

    Args:
        classes: names of the classes of every such task.
        parts: parts of the data, by name.
    """
    return {
        task: ExampleLabels(names, {part: recordings.tasks[task] for part, recordings in parts.items()})
        for task, names in classes.items()
    }


def phone_labels(phones: list[str], parts: Mapping[str, Recordings]) -> PlaceLabels:
    """The phones of every 20 ms.

    Args:
        phones: their names, in the order of their numbers.
        parts: parts of the data, by name.
    """
    return PlaceLabels(phones, {part: phone_places(recordings) for part, recordings in parts.items()})


def phone_places(examples: Recordings) -> Places:
    """Every 20 ms of every recording where the phone is known: the same for every representation, whatever its frames.

    Args:
        examples: a part of the data.
    """
    step = GRID * examples.sample_rate
    nothing = torch.empty(0, dtype=torch.int64)
    recordings, samples, labels = [nothing], [nothing], [nothing]
    for position, size in enumerate(np.minimum(examples.sizes, examples.most).tolist()):
        # In the middle of each 20 ms.
        moments = ((torch.arange(int(size / step)) + 0.5) * step).long()
        phones = frame_labels(examples, position, moments)
        known = phones >= 0
        recordings.append(torch.full((int(known.sum()),), position))
        samples.append(moments[known])
        labels.append(phones[known])
    return Places(torch.cat(recordings), torch.cat(samples), torch.cat(labels))
