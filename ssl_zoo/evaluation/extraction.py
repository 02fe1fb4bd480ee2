"""Vectors of a whole part of the data from one pass over it: pooled, of every layer, and at labelled places."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.progress import track
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.representations import Representation, Vectors
from ssl_zoo.encoders.base import Encoded, Encoder, mean_over_places
from ssl_zoo.evaluation.few_bytes import in_few_bytes
from ssl_zoo.probes.features import Features, batches, require_finite, similar_lengths, to_device
from ssl_zoo.tasks.labels import Places
from ssl_zoo.tasks.places import frames_at, nearest_frames, real_counts
from ssl_zoo.whereabouts import whereabouts


class Wanted(NamedTuple):
    """What is asked about a part of the data.

    Attributes:
        examples: the part.
        layered: ``(U,)`` int64, ascending positions of the examples whose every layer is asked for.
        places: labelled places within its examples, by task.
    """

    examples: Examples
    layered: Tensor
    places: dict[str, Places]

    @property
    def needs_layers(self) -> bool:
        """Whether pooled vectors are not all."""
        return len(self.layered) > 0 or any(len(places.labels) for places in self.places.values())


class Kept(NamedTuple):
    """All that probes need of a part of the data, in the part's order, on the device that computed it.

    Attributes:
        features: features of every example, pooled.
        layers: pooled vectors of the examples whose layers are asked for, ``(U, D_layer)`` of every layer; float16
            where that is enough. The pooled ones where a representation has no layers.
        places: ``(L, P, D')`` of the layers that are as wide as the last, by task, likewise; empty where a
            representation has no sequences.
        has_layers: whether `layers` are such.
    """

    features: Features
    layers: list[Tensor]
    places: dict[str, Tensor]
    has_layers: bool


def representation_of(encoder: Encoder, encode: Callable[[Batch, bool], Encoded]) -> Representation:
    """The vectors of an encoder.

    Args:
        encoder: says where its vectors stand.
        encode: gives them, of a batch and with or without layers, in evaluation mode: `Method.encode`, say.
    """
    return Representation(
        lambda batch, layers: vectors_of(encoder.by_time(encode(batch, layers)), encoder.prefix),
        encoder.offset,
        encoder.stride,
    )


def vectors_of(encoded: Encoded, prefix: int = 0) -> Vectors:
    """What probes see of a batch; of a layer the mean over an example's real places.

    Args:
        encoded: what the encoder gives of a batch.
        prefix: vectors of a layer that stand for no place, and are left out.
    """
    sequences = tuple(layer[:, prefix:] for layer in encoded.layers)
    means = tuple(mean_over_places(layer, encoded.mask) for layer in sequences)
    return Vectors(encoded.pooled, means, sequences, encoded.mask)


@torch.no_grad()
def extract_part(
    representation: Representation,
    wanted: Wanted,
    device: torch.device,
    at_once: int | None = None,
    announce: str = "",
) -> Kept:
    """One pass over a part's examples, the longest first.

    Args:
        representation: what gives the vectors.
        wanted: what is asked about the part.
        device: the device to compute on.
        at_once: examples of a batch; as many as the data says when left out.
        announce: what a bar shows the progress of; no bar when empty.

    Raises:
        InputError: vectors are not finite numbers.
    """
    examples, order = wanted.examples, similar_lengths(wanted.examples)
    size = at_once or examples.fetched_at_once
    pooled, labels = torch.empty(0, device=device), None
    layers: list[list[Tensor]] = []
    has_layers = False
    of_layers: list[Tensor] = []
    places: dict[str, list[Tensor]] = {task: [] for task in wanted.places}
    of_places: dict[str, list[Tensor]] = {task: [] for task in wanted.places}
    steps = zip(order.split(size), batches(examples, order, size), strict=True)
    shown = track(steps, announce, total=math.ceil(len(order) / size), transient=True, disable=not announce)
    counted = 0
    with whereabouts.during(lambda: f"features of {counted:,} of {len(order):,} examples"):
        for positions, batch in shown:
            found = representation.extract(to_device(batch, device), wanted.needs_layers)
            if not len(pooled):  # written in place: all batches and then a copy of them would take twice the memory
                pooled = torch.empty(len(order), found.pooled.shape[1], device=device)
                labels = None if batch.labels is None else batch.labels.new_empty(len(order))
            pooled[positions.to(device)] = found.pooled.float()
            if labels is not None and batch.labels is not None:
                labels[positions] = batch.labels
            chosen = torch.isin(positions, wanted.layered)
            of_layers.append(positions[chosen])
            has_layers = len(found.layers) > 0
            layers.append(in_few_bytes([layer[chosen.to(device)] for layer in found.layers or (found.pooled,)]))
            for task, asked in wanted.places.items():
                if found.sequences:
                    here, vectors = _at_places(representation, found, asked, positions, device)
                    of_places[task].append(here)
                    places[task].append(vectors)
            counted += len(positions)
    require_finite(pooled)
    order_of_layers = torch.cat(of_layers).argsort().to(device)
    return Kept(
        Features(pooled, None if labels is None else labels.to(device)),
        [torch.cat(layer)[order_of_layers] for layer in zip(*layers, strict=True)],
        {
            task: torch.cat(vectors, 1)[:, torch.cat(of_places[task]).argsort().to(device)]
            for task, vectors in places.items()
            if vectors
        },
        has_layers,
    )


def _at_places(
    representation: Representation, found: Vectors, asked: Places, positions: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which places are in these examples, ``(Q,)``, and the vectors there ``(L, Q, D')``."""
    here, rows = asked.of(positions)
    rows = rows.to(device)
    counts = real_counts(found.sequences[-1], found.mask)[rows]
    nearest = nearest_frames(asked.inputs[here].to(device), counts, representation.offset, representation.stride)
    width = found.sequences[-1].shape[2]
    alike = [layer for layer in found.sequences if layer.shape[2] == width]
    vectors = [frames_at(layer, rows, nearest, counts, representation.context) for layer in alike]
    return here, torch.stack(in_few_bytes(vectors))
