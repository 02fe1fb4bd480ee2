"""The weighted k-nearest-neighbour probe (Wu et al., 2018, arXiv:1805.01978, section 3.4)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# To choose from. Few neighbours where there are few labels, low temperatures where all similarities are high, as after
# a ReLU: no fixed pair is fair to representations of all kinds.
NEIGHBOURS = (1, 3, 5, 10, 20, 50)
TEMPERATURES = (0.2, 0.07, 0.03, 0.01)
# Similarities in memory at once, 256 MB of them, however many examples there are.
AT_ONCE = 2**26


class Vote(NamedTuple):
    """How neighbours vote.

    Attributes:
        neighbours: k.
        temperature: temperature of the weights exp(cosine similarity / temperature).
    """

    neighbours: int
    temperature: float


VOTES = [Vote(neighbours, temperature) for neighbours in NEIGHBOURS for temperature in TEMPERATURES]


def knn_predict(queries: Tensor, bank: Tensor, bank_labels: Tensor, neighbours: int, temperature: float) -> Tensor:
    """Classes by a vote of the nearest neighbours, each weighted by exp(cosine similarity / temperature).

    Args:
        queries: ``(Q, D)``.
        bank: ``(N, D)`` labelled vectors.
        bank_labels: ``(N,)`` int64.
        neighbours: k; all of the bank votes when it is smaller.
        temperature: temperature of the weights.

    Returns:
        ``(Q,)`` int64.
    """
    similarity, nearest = _nearest(queries, bank, neighbours)
    return _count_votes(similarity, bank_labels[nearest], int(bank_labels.max()) + 1, Vote(neighbours, temperature))


def choose_vote(bank: Tensor, bank_labels: Tensor, validation: tuple[Tensor, Tensor] | None = None) -> Vote:
    """The k and temperature that predict most labels right: of the bank itself, or of validation data.

    Without validation data every labelled vector is predicted by the others (leave-one-out), so that nothing beyond the
    labelled examples chooses anything. Of equal choices the fewest neighbours are taken, then the highest temperature:
    with one label per class no left-out vector can be predicted right, and k is 1.

    Args:
        bank: ``(N, D)`` labelled vectors.
        bank_labels: ``(N,)`` int64.
        validation: vectors ``(M, D)`` and labels ``(M,)``; None leaves one out.
    """
    if len(bank) == 1:
        return VOTES[0]
    queries, wanted = (bank, bank_labels) if validation is None else validation
    similarity, nearest = _nearest(queries, bank, max(NEIGHBOURS), leave_out=validation is None)
    labels, classes = bank_labels[nearest], int(bank_labels.max()) + 1
    right = [int((_count_votes(similarity, labels, classes, vote) == wanted).sum()) for vote in VOTES]
    return VOTES[right.index(max(right))]


def _nearest(queries: Tensor, bank: Tensor, neighbours: int, leave_out: bool = False) -> tuple[Tensor, Tensor]:
    """Cosine similarities and positions ``(Q, K)`` of the nearest vectors of the bank, the nearest first.

    Args:
        queries: ``(Q, D)``.
        bank: ``(N, D)``.
        neighbours: K at most.
        leave_out: whether query i is vector i of the bank, and no neighbour of its own.
    """
    found = min(neighbours, len(bank) - leave_out)
    # The bank is not normalised: a copy of it may be gigabytes.
    lengths = torch.linalg.vector_norm(bank, dim=1).clamp_min(1e-12)
    similarities, positions = [], []
    for rows in torch.arange(len(queries), device=bank.device).split(max(1, AT_ONCE // len(bank))):
        similarity = F.normalize(queries[rows], dim=1) @ bank.T / lengths
        if leave_out:
            similarity[rows - rows[0], rows] = -torch.inf
        similarity, nearest = similarity.topk(found, dim=1)
        similarities.append(similarity)
        positions.append(nearest)
    return torch.cat(similarities), torch.cat(positions)


def _count_votes(similarity: Tensor, labels: Tensor, classes: int, vote: Vote) -> Tensor:
    """``(Q,)`` int64 classes, from similarities and labels ``(Q, K)`` of at least as many neighbours as vote."""
    similarity, labels = similarity[:, : vote.neighbours], labels[:, : vote.neighbours]
    # Against that of the nearest, as exp(1 / 0.01) is no single-precision number.
    weights = ((similarity - similarity[:, :1]) / vote.temperature).exp()
    votes = torch.zeros(len(labels), classes, device=labels.device)
    return votes.scatter_add_(1, labels, weights).argmax(1)
