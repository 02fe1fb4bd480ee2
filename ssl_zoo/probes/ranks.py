"""Ranks of right answers among all answers, by cosine similarity."""

import torch
from torch import Tensor
from torch.nn import functional as F


def ranks(source: Tensor, target: Tensor, right: Tensor) -> Tensor:
    """``(N,)`` int64, the rank from 1 on of the best right answer.

    A wrong answer that is as near as the best right one ranks before it: an encoder that gives everything one vector
    ranks the right ones last.

    Args:
        source: ``(N, D)`` vectors that are asked about.
        target: ``(M, D)`` vectors of the answers.
        right: ``(N, M)`` bool, which answers are right; one at least in each row.
    """
    similarity = F.normalize(source, dim=1) @ F.normalize(target, dim=1).T
    best = similarity.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return 1 + ((similarity >= best) & ~right).sum(1)


def mean_reciprocal_rank(source: Tensor, target: Tensor, right: Tensor) -> float:
    """The mean of 1 / the rank of the best right answer; arguments as for `ranks`."""
    return float((1 / ranks(source, target, right)).double().mean())


def chance_of(right: Tensor) -> float:
    """What `mean_reciprocal_rank` is on average where the order of the answers is random.

    Of M answers of which k are right, the best has rank r or a later one with the chance C(M - r + 1, k) / C(M, k).

    Args:
        right: ``(N, M)`` bool.
    """
    total = right.shape[1]
    found = []
    for count in right.sum(1).tolist():
        later, mean = 1.0, 0.0  # the chance that the best is at this rank or later
        for rank in range(1, total - count + 2):
            here = later * count / (total - rank + 1)
            mean, later = mean + here / rank, later - here
        found.append(mean)
    return sum(found) / len(found)
