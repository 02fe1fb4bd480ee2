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
    # Similarities near 1 divided by a small temperature need more digits than bfloat16 has.
    with torch.autocast(first.device.type, enabled=False):
        anchors = F.normalize(torch.cat([first, second]).float(), dim=1)
        candidates = all_gather(anchors)
        logits = anchors @ candidates.T / temperature
    views = len(anchors)
    position = torch.arange(views, device=logits.device)
    offset = rank() * views
    is_self = offset + position[:, None] == torch.arange(len(candidates), device=logits.device)
    return logits.masked_fill(is_self, -torch.inf), offset + (position + views // 2) % views


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al., 2020, arXiv:2002.05709, equation 1).

    Args and semantics as in `nt_xent_logits`.

    Returns:
        Scalar, the mean over this rank's 2B anchors, in nats.
    """
    return F.cross_entropy(*nt_xent_logits(first, second, temperature))
