"""How much two ways to group the same examples have in common."""

import torch
from torch import Tensor


def mutual_information(first: Tensor, second: Tensor) -> Tensor:
    """Normalized mutual information, I(A; B) / sqrt(H(A) H(B)), as DeepCluster has it (arXiv:1807.05520, section 4.1).

    Args:
        first: ``(N,)`` int64, the group of every example, at least 0.
        second: ``(N,)`` int64, its group in the other grouping, at least 0.

    Returns:
        Scalar float64 in [0, 1]: 1 where the groups are the same under other numbers, 0 where one says nothing of the
        other, or where a single group has all examples.
    """
    columns = int(second.max()) + 1
    pairs, counts = (first * columns + second).unique(return_counts=True)
    both, one, other = (each.double() / len(first) for each in (counts, first.bincount(), second.bincount()))
    expected = one[pairs // columns] * other[pairs % columns]
    shared = (both * (both / expected).log()).sum()
    entropies = torch.special.entr(one).sum() * torch.special.entr(other).sum()
    return (shared / entropies.sqrt().clamp_min(1e-12)).clamp(0, 1)
