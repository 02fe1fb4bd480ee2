"""Picking a frame out among others of the same recording: which ones, and the similarities to them.

The vectors of the negatives are never gathered: with a hundred of them for every frame they would be a hundred times
the batch. All similarities within a recording are one matrix product, of which the wanted ones are picked.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.randomness import fold_in, uniform


def draw_candidates(positives: Tensor, counts: Tensor, negatives: int, keys: Tensor) -> Tensor:
    """For every query its positive and then its negatives, drawn uniformly from the recording's other frames.

    Negatives are drawn with replacement; the positive is never among them, nor is padding or another recording.

    Args:
        positives: ``(B, P)`` int64, the place of every query's positive among its recording's frames.
        counts: ``(B,)`` int64, the frames of every recording, which are its first ones. Where there are fewer than two
            there is no negative, and what is returned for that recording means nothing.
        negatives: M, for every query.
        keys: ``(B,)`` int64; a query's draws depend on its recording's key and on its place among the queries alone.

    Returns:
        ``(B, P, 1 + M)`` int64, places.
    """
    others = (counts - 1).clamp_min(1)[:, None, None]
    draws = (uniform(keys, positives.shape[1], negatives) * others).long()
    draws = draws.minimum(others - 1)  # float32 may have rounded up
    # Places from the positive's on move up by one: the draws stay uniform and the positive is left out.
    draws = draws + (draws >= positives[..., None])
    return torch.cat([positives[..., None], draws], dim=2).minimum((counts - 1).clamp_min(0)[:, None, None])


def candidate_logits(queries: Tensor, targets: Tensor, candidates: Tensor) -> Tensor:
    """Dot products of queries with their candidates.

    Args:
        queries: ``(B, P, D)``.
        targets: ``(B, C, D)``, the recordings' frames.
        candidates: ``(B, P, 1 + M)`` int64, places among them.

    Returns:
        ``(B, P, 1 + M)`` float32.
    """
    # Similarities divided by a small temperature need more digits than bfloat16 has.
    with torch.autocast(queries.device.type, enabled=False):
        similarities = queries.float() @ targets.float().mT
    return similarities.gather(2, candidates)


def cosine_logits(queries: Tensor, targets: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """Cosines of queries and their candidates over a temperature; arguments and shape as in `candidate_logits`."""
    queries, targets = F.normalize(queries.float(), dim=2), F.normalize(targets.float(), dim=2)
    return candidate_logits(queries / temperature, targets, candidates)


def equal_to_positive(targets: Tensor, candidates: Tensor) -> Tensor:
    """Which negatives are, bit for bit, the same vector as the positive.

    Vectors are compared by 64-bit hashes of their bits: comparing the numbers themselves would take all pairs of
    vectors, and cosines are not exact enough.

    Args:
        targets: ``(B, C, D)``.
        candidates: ``(B, P, 1 + M)`` int64, places among them, the positive's first.

    Returns:
        ``(B, P, M)`` bool.
    """
    bits = (targets.detach().float() + 0.0).contiguous().view(torch.int32).long()  # plus zero: -0 becomes 0
    # The complement of positions, as compilers take a position plus a constant for an index that 32 bits must hold.
    factors = fold_in(~torch.arange(targets.shape[2], device=targets.device), 0) | 1
    names = (bits * factors).sum(2)
    named = names[:, None].expand(-1, candidates.shape[1], -1).gather(2, candidates)
    return named[..., 1:] == named[..., :1]


def first_is_best(logits: Tensor) -> Tensor:
    """``(B, P)`` bool: whether the positive's logit is above those of all negatives ``(B, P, 1 + M)``; a tie is not."""
    return logits[..., 0] > logits[..., 1:].amax(-1)
