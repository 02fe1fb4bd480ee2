"""k-means on the device that the vectors are on: HuBERT's clusters, and those of whatever groups vectors."""

import math
from typing import Literal

import torch
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.parts.nearest import nearest
from ssl_zoo.randomness import fold_in, normal, uniform

# What keys are folded with for the mending of a pass, and numbers after it; the start has 0.
MENDING = 1
# Part of its own size by which the centre of a cluster that is split is moved.
NUDGE = 1e-3


@torch.no_grad()
def k_means(
    vectors: Tensor, clusters: int, key: Tensor, passes: int = 30, mending: Literal["farthest", "split"] = "farthest"
) -> Tensor:
    """Centres of clusters, by Lloyd's algorithm (1982) from a start by k-means++ (Arthur and Vassilvitskii, 2007).

    The same vectors and the same key give the same centres. scikit-learn's mini-batches reach no smaller distances than
    passes over all of a sample that fits into memory, and take far longer on one core.

    Args:
        vectors: ``(M, D)`` float32.
        clusters: number of centres K.
        key: scalar int64, what is drawn with it.
        passes: passes over the vectors, at most; it ends earlier when no vector changes its cluster.
        mending: where a cluster that loses its last vector begins anew: at the vector that is `farthest` from its
            centre, or, by `split`, next to the centre of another one, drawn at random, whose vectors the two then share
            (Caron et al., 2018, arXiv:1807.05520, section 3.3).

    Returns:
        ``(K, D)`` float32.

    Raises:
        InputError: there are fewer vectors than clusters.
    """
    if len(vectors) < clusters:
        raise InputError(
            f"There are {len(vectors)} vectors to make {clusters} clusters of: set clusters lower, or give more data."
        )
    with torch.autocast(vectors.device.type, enabled=False):
        vectors, key = vectors.float(), key.to(vectors.device)
        centres = _spread(vectors, clusters, key)
        codes = nearest(vectors, centres)
        for number in range(passes):
            centres = _means(vectors, codes, centres, fold_in(key, MENDING + number) if mending == "split" else None)
            before, codes = codes, nearest(vectors, centres)
            if torch.equal(before, codes):
                break
        return centres


def _spread(vectors: Tensor, clusters: int, key: Tensor) -> Tensor:
    """The start: vectors drawn one after the other, far ones likelier.

    Each is the best of a few that are drawn with probabilities in proportion to their squared distance from the nearest
    one so far, as scikit-learn does it.
    """
    tries = 2 + int(math.log(clusters))
    draws = uniform(fold_in(key, 0)[None], clusters, tries)[0]
    first = (draws[0, :1] * len(vectors)).long()
    chosen = [first]
    squares = vectors.square().sum(1)
    closest = _squared_distances(vectors, squares, first)[:, 0]
    for number in range(1, clusters):
        # Of whole numbers: sums of others come in another order every time on a GPU.
        reach = (closest / closest.amax().clamp_min(1e-30) * 2**30).long().cumsum(0)
        drawn = (draws[number] * 2**24).long() * (reach[-1] // 2**24)
        candidates = torch.searchsorted(reach, drawn, right=True).clamp_max(len(vectors) - 1)
        distances = _squared_distances(vectors, squares, candidates).minimum(closest[:, None])
        best = distances.sum(0).argmin(keepdim=True)
        closest = distances.index_select(1, best)[:, 0]
        chosen.append(candidates[best])
    return vectors[torch.cat(chosen)]


def _squared_distances(vectors: Tensor, squares: Tensor, places: Tensor) -> Tensor:
    """``(M, T)``, of every vector to those at places ``(T,)``, given their squared lengths ``(M,)``."""
    products = vectors @ vectors[places].T
    return (squares[:, None] - 2 * products + squares[places]).clamp_min(0)


def _means(vectors: Tensor, codes: Tensor, centres: Tensor, key: Tensor | None) -> Tensor:
    """The mean of every cluster; where it is empty, one of the vectors farthest from their centres, or by a key split.

    A cluster of one vector cannot be split, and is not drawn.
    """
    sums = torch.zeros_like(centres)
    counts = torch.zeros(len(centres), device=centres.device)
    # By a matrix product: sums by index come in another order every time on a GPU.
    for part, code in zip(vectors.split(8192), codes.split(8192), strict=True):
        member = torch.nn.functional.one_hot(code, len(centres)).to(vectors.dtype)
        sums.addmm_(member.T, part)
        counts += member.sum(0)
    means = sums / counts[:, None].clamp_min(1)
    empty = (counts == 0).nonzero()[:, 0]
    if len(empty) and key is not None:
        several = (counts > 1).nonzero()[:, 0]
        drawn = several[(uniform(fold_in(key, 0)[None], len(empty))[0] * len(several)).long()]
        means[empty] = means[drawn] * (1 + NUDGE * normal(fold_in(key, 1)[None], len(empty), means.shape[1])[0])
    elif len(empty):
        distances = (vectors - centres[codes]).square().sum(1)
        means[empty] = vectors[distances.topk(len(empty)).indices]
    return means
