"""Contrastive losses over the global batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather, rank


def nt_xent_logits(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Similarities of every local anchor to every other view in the global batch.

    The anchors are this rank's 2B views; the candidates are the views of all R ranks, gathered with gradient. The
    mean loss over ranks, which is what DDP differentiates, therefore equals the loss of one process on the whole
    batch, in value and in gradient.

    Args:
        first: ``(B, D)``, the projection of each example's first view.
        second: ``(B, D)``, the projection of its second view.
        temperature: divides the cosine similarities.

    Returns:
        Logits ``(2B, 2BR)`` float32, an anchor's similarity to itself being -inf, and targets ``(2B,)`` int64, the
        column of the anchor's positive.
    """
    anchors, candidates, targets, own = nt_xent_candidates(first, second)
    # Similarities near 1 divided by a small temperature need more digits than bfloat16 has.
    with torch.autocast(first.device.type, enabled=False):
        logits = anchors @ candidates.T / temperature
    return logits.scatter(1, own[:, None], -torch.inf), targets


def nt_xent_candidates(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `nt_xent_logits` compares, for whoever computes some rows at a time; arguments as there.

    Returns:
        Anchors ``(2B, D)`` and candidates ``(2BR, D)``, float32 of unit length, and of every anchor the column of its
        positive and that of itself, ``(2B,)`` int64.
    """
    with torch.autocast(first.device.type, enabled=False):
        anchors = F.normalize(torch.cat([first, second]).float(), dim=1)
        candidates = all_gather(anchors)
    views = len(anchors)
    position = torch.arange(views, device=anchors.device)
    offset = rank() * views
    return anchors, candidates, offset + (position + views // 2) % views, offset + position


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al., 2020, arXiv:2002.05709, equation 1).

    Args and semantics as in `nt_xent_logits`.

    Returns:
        Scalar, the mean over this rank's 2B anchors, in nats.
    """
    return F.cross_entropy(*nt_xent_logits(first, second, temperature))


def queue_logits(
    queries: Tensor, keys: Tensor, negatives: Tensor, excluded: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Similarities of queries to their own key and to a memory of other keys (MoCo, He et al., 2019, arXiv:1911.05722).

    Args:
        queries: ``(B, D)``.
        keys: ``(B, D)``, the positive of each query; no gradient flows into it.
        negatives: ``(K, D)`` of unit length.
        excluded: ``(B, K)`` bool, True where a negative is a key of the query's own example.
        temperature: divides the cosine similarities.

    Returns:
        Logits ``(B, 1 + K)`` float32, an excluded negative's being -inf, and targets ``(B,)`` int64, all 0.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys = F.normalize(queries.float(), dim=1), F.normalize(keys.detach().float(), dim=1)
        positive = (queries * keys).sum(1, keepdim=True)
        negative = (queries @ negatives.T).masked_fill(excluded, -torch.inf)
        logits = torch.cat([positive, negative], dim=1) / temperature
    return logits, torch.zeros(len(queries), dtype=torch.int64, device=queries.device)


def global_logits(queries: Tensor, targets: Tensor, matches: Tensor) -> tuple[Tensor, Tensor]:
    """Dot products of queries with all targets of the global batch, among which each has its match.

    Targets are gathered from all ranks with gradient, see `nt_xent_logits`. A rank's queries may be more or fewer than
    its targets, but are as many on every rank.

    Args:
        queries: ``(P, D)``.
        targets: ``(N, D)``.
        matches: ``(P,)`` int64, the match of each query among this rank's targets.

    Returns:
        Logits ``(P, N * ranks)`` float32, and ``(P,)`` int64, the column of each query's match.
    """
    with torch.autocast(queries.device.type, enabled=False):
        logits = queries.float() @ all_gather(targets.float()).T
    return logits, rank() * len(targets) + matches


def matched_logits(anchors: Tensor, candidates: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Similarities of vectors of one kind to those of another kind of the global batch, among which each has its match.

    Such as the two halves of CMC (Tian et al., 2019, arXiv:1906.05849, section 3.2). Candidates are gathered from all
    ranks with gradient, see `nt_xent_logits`.

    Args:
        anchors: ``(B, D)``.
        candidates: ``(B, D)``, the match of each anchor.
        temperature: divides the cosine similarities.

    Returns:
        Logits ``(B, B * ranks)`` float32 and targets ``(B,)`` int64, the column of each anchor's match.
    """
    anchors, candidates = F.normalize(anchors.float(), dim=1), F.normalize(candidates.float(), dim=1)
    logits, targets = global_logits(anchors, candidates, torch.arange(len(anchors), device=anchors.device))
    return logits / temperature, targets


def cross_view_logits(queries: Tensor, keys: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Similarities of one view's queries to the other view's keys of the global batch (MoCo v3, arXiv:2104.02057).

    Args:
        queries: ``(B, D)``.
        keys: ``(B, D)``, the positive of each query; no gradient flows into it.
        temperature: divides the cosine similarities.

    Returns:
        Logits ``(B, B * ranks)`` float32 and targets ``(B,)`` int64, the column of each query's positive.
    """
    return matched_logits(queries, keys.detach(), temperature)
