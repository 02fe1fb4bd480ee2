"""Triplets of an anchor, another view of it and a view of something else, found in the global batch."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.objectives.contrastive import nt_xent_candidates


class Triplets(NamedTuple):
    """Squared distances between vectors of unit length, of this rank's 2B anchors.

    Attributes:
        positive: ``(2B,)`` float32 with gradient, of anchors to the other views of the same examples.
        negative: ``(2B,)`` float32 with gradient, of anchors to the negatives that were chosen.
        nearest: ``(2B,)`` float32 without gradient, of anchors to the nearest negatives of all.
    """

    positive: Tensor
    negative: Tensor
    nearest: Tensor


def semi_hard_triplets(first: Tensor, second: Tensor) -> Triplets:
    """Every view with the other view of its example and a semi-hard negative (Schroff et al., 2015, arXiv:1503.03832).

    Negatives are the views of all other examples of the global batch, gathered from all ranks with gradient. Of those
    farther from the anchor than its positive, the semi-hard ones, the nearest is chosen; where there is none, the
    farthest of all, which lacks least to be one. The paper leaves that case open, and warns of the hardest ones.

    Args:
        first: ``(B, D)``, the projection of each example's first view.
        second: ``(B, D)``, the projection of its second view.
    """
    anchors, candidates, targets, own = nt_xent_candidates(first, second)
    with torch.autocast(first.device.type, enabled=False):
        distances = 2 - 2 * anchors @ candidates.T
    positive = distances.gather(1, targets[:, None])
    with torch.no_grad():
        examples = torch.stack([targets, own], dim=1)
        farther = distances.masked_fill(distances <= positive, torch.inf).scatter(1, examples, torch.inf)
        semi_hard, column = farther.min(1)
        farthest = distances.scatter(1, examples, -torch.inf).argmax(1)
        column = torch.where(semi_hard.isinf(), farthest, column)
        nearest = distances.scatter(1, examples, torch.inf).amin(1)
    return Triplets(positive[:, 0], distances.gather(1, column[:, None])[:, 0], nearest)
