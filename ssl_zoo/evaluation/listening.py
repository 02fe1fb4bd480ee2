"""What representations of recordings give: pooled vectors, and vectors of every layer, from one pass over the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.recordings import Recordings
from ssl_zoo.encoders.base import mean_over_places
from ssl_zoo.encoders.log_mel import log_mel, window_and_hop
from ssl_zoo.evaluation.frames import (
    Moments,
    frames_at,
    in_few_bytes,
    mean_and_deviation,
    nearest_frames,
    real_counts,
)
from ssl_zoo.methods.base import Method
from ssl_zoo.probes.features import Features, batches, similar_lengths, to_device

# The baseline: frames of so many bands, put together with so many neighbours on either side.
MELS, CONTEXT = 80, 4


class SpeechVectors(NamedTuple):
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
        extract: gives it.
        offset: the sample at the centre of frame 0.
        stride: samples from one frame to the next.
        context: neighbours on either side that a frame is put together with.
        frame_rows: which of its dimensions then make up which row of the table.
    """

    extract: Callable[[Batch], SpeechVectors]
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


def listen_with(method: Method, row: str) -> Listener:
    """Those layers of a method's encoder of speech that are as wide as its last, utterances being means over time.

    Args:
        method: whose encoder's vectors are probed.
        row: of the table.
    """
    encoder: Any = method.encoder

    def extract(batch: Batch) -> SpeechVectors:
        encoded = method.encode(batch, layers=True)
        width = encoded.layers[-1].shape[2]
        layers = tuple(layer[:, encoder.prefix :] for layer in encoded.layers if layer.shape[2] == width)
        utterances = torch.stack([mean_over_places(layer, encoded.mask) for layer in layers])
        return SpeechVectors(encoded.pooled.float(), utterances, layers, encoded.mask)

    return Listener(extract, encoder.offset, encoder.stride, 0, {row: slice(None)})


def listen_to_log_mel(sample_rate: int) -> Listener:
    """The floor: log-mel frames alone and with four neighbours on either side, utterances by mean and deviation."""
    window, hop = window_and_hop(sample_rate)

    def extract(batch: Batch) -> SpeechVectors:
        spectra, mask = log_mel(batch.inputs, batch.mask, sample_rate, MELS)
        statistics = mean_and_deviation(spectra, mask)
        return SpeechVectors(statistics, statistics[None], (spectra,), mask)

    middle = slice(CONTEXT * MELS, (CONTEXT + 1) * MELS)
    rows = {"log-mel frame": middle, f"log-mel, {2 * CONTEXT + 1} frames": slice(None)}
    return Listener(extract, window // 2, hop, CONTEXT, rows)


@torch.no_grad()
def listen(listener: Listener, asked: Asked, device: torch.device) -> Cache:
    """One pass over a part's recordings, the longest first; what is kept is in the part's order, on `device`."""
    vectors, labels, utterances, frames = [], [], [], []
    order = similar_lengths(asked.examples)
    chosen_utterances, chosen_moments = [], []
    for positions, batch in zip(
        order.split(asked.examples.fetched_at_once), batches(asked.examples, order), strict=True
    ):
        found = listener.extract(to_device(batch, device))
        vectors.append(found.vectors.float())
        labels.append(batch.labels)
        wanted = torch.isin(positions, asked.utterances)
        chosen_utterances.append(positions[wanted])
        utterances.append(in_few_bytes(found.utterances[:, wanted.to(device)]))
        places, rows = asked.moments.of(positions)
        chosen_moments.append(places)
        samples, rows = asked.moments.samples[places].to(device), rows.to(device)
        counts = real_counts(found.frames[0], found.mask)[rows]
        nearest = nearest_frames(samples, counts, listener.offset, listener.stride)
        nearest_of_all = [frames_at(layer, rows, nearest, counts, listener.context) for layer in found.frames]
        frames.append(in_few_bytes(torch.stack(nearest_of_all)))
    back, utterances_back, moments_back = (
        chosen.argsort().to(device) for chosen in (order, torch.cat(chosen_utterances), torch.cat(chosen_moments))
    )
    known = [part for part in labels if part is not None]
    features = Features(torch.cat(vectors)[back], torch.cat(known).to(device)[back] if known else None)
    return Cache(features, torch.cat(utterances, 1)[:, utterances_back], torch.cat(frames, 1)[:, moments_back])
