"""Features of a whole data set from a frozen encoder, computed once and shared by every probe."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.errors import InputError


class Features(NamedTuple):
    """The representations of a data set.

    Attributes:
        vectors: ``(N, D)`` float32.
        labels: ``(N,)`` int64, or None when the data has none.
    """

    vectors: Tensor
    labels: Tensor | None


def extract(
    represent: Callable[[Batch], Tensor], data: Dataset[Batch], device: torch.device, at_once: int | None = None
) -> Features:
    """Represents every example, in the data's order; the vectors stay on `device`.

    Args:
        represent: maps a batch to ``(B, D)`` vectors; a network should be in evaluation mode.
        data: `Examples`, or a `Subset` of some.
        device: where `represent` expects its batch.
        at_once: examples of a batch; as many as the data says when left out.

    Raises:
        InputError: the vectors are not finite numbers.
    """
    order = similar_lengths(data)
    vectors, labels = torch.empty(0, device=device), None
    first = 0
    with torch.no_grad():
        for batch in batches(data, order, at_once):
            batch = to_device(batch, device)
            found = represent(batch).float()
            if first == 0:  # written in place: all batches and then a copy of them would take twice the memory
                vectors = found.new_empty(len(order), found.shape[1])
                labels = None if batch.labels is None else batch.labels.new_empty(len(order))
            places = order[first : first + len(found)].to(device)
            vectors[places] = found
            if labels is not None and batch.labels is not None:
                labels[places] = batch.labels
            first += len(found)
    require_finite(vectors)
    return Features(vectors, labels)


def require_finite(vectors: Tensor) -> None:
    """Raise `InputError` where features ``(N, D)`` are not finite numbers."""
    if not vectors.isfinite().all():
        raise InputError(
            "The encoder's vectors are not finite numbers, so there is nothing to probe. If you trained it, it has "
            "diverged: train it again with a lower model.optimizer.learning_rate, or a model.optimizer.eps that "
            "is not 0."
        )


def batches(data: Dataset[Batch], order: Tensor | None = None, at_once: int | None = None) -> DataLoader[Batch]:
    """All examples a batch at a time.

    Args:
        data: fetches batches itself, and says in `fetched_at_once` how large; or a `Subset` of such a data set.
        order: ``(N,)`` int64, positions in `data`; the data's own order when left out.
        at_once: examples of a batch; as many as the data says when left out.
    """
    examples, _ = _examples(data)
    sampler = None if order is None else order.tolist()
    return DataLoader(data, at_once or examples.fetched_at_once, sampler=sampler, collate_fn=lambda batch: batch)


def similar_lengths(data: Dataset[Batch]) -> Tensor:
    """``(N,)`` int64, positions in `data` from the longest example to the shortest, so that little has to be padded."""
    examples, positions = _examples(data)
    if examples.lengths is None:
        return torch.arange(len(positions))
    return examples.lengths[positions].argsort(descending=True, stable=True)


def _examples(data: Any) -> tuple[Examples, Tensor]:
    """The data set that fetches, and the positions in it of these examples."""
    if isinstance(data, Subset):
        examples, positions = _examples(data.dataset)
        return examples, positions[torch.as_tensor(data.indices, dtype=torch.int64)]
    return data, torch.arange(len(data))


def choose_examples(total: int, most: int) -> Tensor:
    """Positions of at most so many examples, ascending: a random choice that is the same at every call.

    Not the first ones, which may all be of one class where files or documents lie class by class. Nor is it stratified:
    what is shown is what the data is like.

    Args:
        total: number of examples.
        most: how many to choose; all of fewer.

    Returns:
        ``(min(total, most),)`` int64.
    """
    return fixed_order(total)[:most].sort().values


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    inputs, mask, labels, index, fields = batch
    return Batch(
        inputs.to(device),
        None if mask is None else mask.to(device),
        None if labels is None else labels.to(device),
        index.to(device),
        None if fields is None else {name: field.to(device) for name, field in fields.items()},
    )
