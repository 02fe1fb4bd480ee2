"""Large batches in the memory of small ones: parts of a batch are encoded again when their gradient is taken."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ssl_zoo.encoders.auxiliary import Auxiliary
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError


def require_chunkable(encoder: Encoder, chunk_size: int | None, method: str) -> None:
    """Raise `InputError` unless the encoder may see a batch in parts of so many examples, where it is to.

    Args:
        encoder: the encoder.
        chunk_size: examples in a part; None for all at once.
        method: name of the method, for the message.
    """
    if chunk_size is None:
        return
    if chunk_size < 1:
        raise InputError(f"chunk_size is {chunk_size}; give a number of at least 1, or null for the whole batch.")
    for kind, what in ((_BatchNorm, "batch norm"), (Auxiliary, "a loss of its own")):
        if any(isinstance(module, kind) for module in encoder.modules()):
            raise InputError(
                f"{method}: with a chunk_size an example may not depend on its batch, and {type(encoder).__name__} has "
                f"{what}, which makes it so: set chunk_size to null, or take an encoder without, such as ViT."
            )


def pooled_in_chunks(encoder: Encoder, inputs: Tensor, mask: Tensor | None, chunk_size: int | None) -> Tensor:
    """The encoder's pooled vectors ``(B, D)``, of which the gradient needs the memory of one part.

    The gradient is exactly that of the whole batch (Gao et al., 2021, arXiv:2101.06983): each part is encoded twice,
    the second time when its gradient is taken, with the same dropout.

    Args:
        encoder: the encoder, of which `require_chunkable` has nothing to say.
        inputs: ``(B, ...)`` as the encoder takes them.
        mask: their mask, or None.
        chunk_size: examples in a part; None encodes all at once.
    """
    if chunk_size is None:
        return encoder(inputs, mask).pooled
    parts = inputs.split(chunk_size)
    masks = [None] * len(parts) if mask is None else mask.split(chunk_size)
    each = zip(parts, masks, strict=True)
    return torch.cat([checkpoint(_pooled, encoder, *part, use_reentrant=False) for part in each])


def cross_entropy_in_chunks(
    anchors: Tensor, candidates: Tensor, targets: Tensor, excluded: Tensor, chunk_size: int
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of anchors among all candidates, and how often the right one is nearest, some rows at a time.

    Args:
        anchors: ``(M, D)`` float32, their products with candidates being logits.
        candidates: ``(N, D)`` float32.
        targets: ``(M,)`` int64, the right candidate of each anchor.
        excluded: ``(M,)`` int64, a candidate of each that does not count: itself.
        chunk_size: anchors whose logits are held at once.

    Returns:
        Two scalars: the mean cross-entropy in nats, and the part of the anchors whose highest logit is the right one.
    """
    rows = zip(*(each.split(chunk_size) for each in (anchors, targets, excluded)), strict=True)
    found = [checkpoint(_of_rows, own, candidates, *where, use_reentrant=False) for own, *where in rows]
    nats, right = (torch.stack(each).sum() / len(anchors) for each in zip(*found, strict=True))
    return nats, right


def _pooled(encoder: Encoder, inputs: Tensor, mask: Tensor | None) -> Tensor:
    """Without the sequence, which would be kept for every part."""
    return encoder(inputs, mask).pooled


def _of_rows(anchors: Tensor, candidates: Tensor, targets: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
    with torch.autocast(anchors.device.type, enabled=False):
        logits = anchors @ candidates.T
    logits = logits.scatter(1, excluded[:, None], -torch.inf)
    right = (logits.detach().argmax(1) == targets).float().sum()
    return F.cross_entropy(logits, targets, reduction="sum"), right
