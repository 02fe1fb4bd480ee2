"""The nearest of some entries to every vector: what turns vectors into codes once a codebook is there."""

import torch
from torch import Tensor

# Products of vectors and entries that are held at once, 64 MB: as many entries as BEST-RQ has would otherwise fill the
# memory of a device.
AT_ONCE = 1 << 24


@torch.no_grad()
def nearest(vectors: Tensor, entries: Tensor) -> Tensor:
    """The entry at the smallest Euclidean distance; of equally near ones the first.

    All distances are one matrix product, as |x - e|^2 = |x|^2 - 2 x e + |e|^2 and |x|^2 is the same for all entries: no
    difference of a vector and an entry is ever held. Computed in float32, whatever precision is set for the rest.

    Args:
        vectors: ``(..., D)``.
        entries: ``(V, D)``.

    Returns:
        ``(...)`` int64 in [0, V).
    """
    with torch.autocast(vectors.device.type, enabled=False):
        rows, entries = vectors.reshape(-1, vectors.shape[-1]).float(), entries.float()
        offsets = entries.square().sum(1) / -2
        parts = rows.split(max(1, AT_ONCE // len(entries)))
        found = [torch.addmm(offsets, part, entries.T).argmax(1) for part in parts]
    return torch.cat(found).view(vectors.shape[:-1])
