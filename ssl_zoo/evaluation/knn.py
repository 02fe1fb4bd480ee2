"""The weighted k-nearest-neighbour probe."""

import torch
from torch import Tensor
from torch.nn import functional as F

# The protocol of Wu et al. (2018, arXiv:1805.01978), section 3.4, with DINO's k: fixed, so that runs are comparable.
NEIGHBOURS = 20
TEMPERATURE = 0.07


def knn_predict(
    queries: Tensor, bank: Tensor, bank_labels: Tensor, neighbours: int = NEIGHBOURS, temperature: float = TEMPERATURE
) -> Tensor:
    """Classes by a vote of the nearest neighbours, each weighted by exp(cosine similarity / temperature).

    Args:
        queries: ``(Q, D)``.
        bank: ``(N, D)`` labelled vectors.
        bank_labels: ``(N,)`` int64.
        neighbours: k; all of the bank votes when it is smaller.
        temperature: of the weights.

    Returns:
        ``(Q,)`` int64.
    """
    bank = F.normalize(bank, dim=1)
    classes = int(bank_labels.max()) + 1
    predictions = []
    for chunk in F.normalize(queries, dim=1).split(4096):
        similarity, nearest = (chunk @ bank.T).topk(min(neighbours, len(bank)), dim=1)
        votes = torch.zeros(len(chunk), classes, device=bank.device)
        votes.scatter_add_(1, bank_labels[nearest], (similarity / temperature).exp())
        predictions.append(votes.argmax(1))
    return torch.cat(predictions)
