"""Features of a whole data set from a frozen encoder, computed once and shared by every probe."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
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


@torch.no_grad()
def estimate_batch_norm(network: nn.Module, batches: Iterable[Batch], device: torch.device) -> None:
    """Gives every batch-norm layer the statistics of the data: the plain average over all batches.

    An untrained network has none of its own, and a momentum that stops the average somewhere would decide how good the
    untrained floor looks. Leaves the network in evaluation mode; one without batch norm stays as it is.

    Args:
        network: called with inputs and mask.
        batches: of the training inputs, in data set order.
        device: where the network is.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's word for the cumulative average
        layer.train()
    for batch in batches:
        batch = to_device(batch, device)
        network(batch.inputs, batch.mask)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
