"""Features of a whole data set from a frozen encoder, computed once and shared by every probe."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_zoo.batch import Batch


class Features(NamedTuple):
    """The representations of a data set.

    Attributes:
        vectors: ``(N, D)`` float32.
        labels: ``(N,)`` int64, or None when the data has none.
    """

    vectors: Tensor
    labels: Tensor | None


def batches(data: Dataset[Batch], size: int = 512) -> DataLoader[Batch]:
    """The whole data set in order, a batch at a time; `data` fetches batches itself."""
    return DataLoader(data, size, collate_fn=lambda batch: batch)


@torch.no_grad()
def extract(represent: Callable[[Batch], Tensor], batches: Iterable[Batch], device: torch.device) -> Features:
    """Represents every example; the vectors stay on `device`.

    Args:
        represent: maps a batch to ``(B, D)`` vectors; a network should be in evaluation mode.
        batches: in data set order.
        device: where `represent` expects its batch.
    """
    vectors, labels = [], []
    for batch in batches:
        batch = to_device(batch, device)
        vectors.append(represent(batch).float())
        labels.append(batch.labels)
    known = [part for part in labels if part is not None]
    return Features(torch.cat(vectors), torch.cat(known) if known else None)


def raw_inputs(batch: Batch) -> Tensor:
    """``(B, D)`` inputs as they are, flattened: the floor that needs no encoder."""
    return batch.inputs.flatten(1).float()


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    inputs, mask, labels, index = batch
    return Batch(
        inputs.to(device),
        None if mask is None else mask.to(device),
        None if labels is None else labels.to(device),
        index.to(device),
    )
