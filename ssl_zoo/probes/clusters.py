"""How much codes of places say about known labels there, such as phones."""

import torch
from torch import Tensor


def code_figures(codes: Tensor, labels: Tensor) -> dict[str, float]:
    """Figures of codes against labels, as HuBERT has them (Hsu et al., 2021, arXiv:2106.07447, section IV-B).

    Many codes raise the first two by themselves; with as many as places each would be 1.

    Args:
        codes: ``(P,)`` int64, at least 0.
        labels: ``(P,)`` int64 of the same places, at least 0.

    Returns:
        `pnmi`, the part of the labels' entropy that codes take away; `purity`, how often the label is the commonest of
        its code; `cluster_purity`, how often the code is the commonest of its label. All in [0, 1].
    """
    rows, columns = int(labels.max()) + 1, int(codes.max()) + 1
    counts = torch.bincount(labels * columns + codes, minlength=rows * columns).view(rows, columns).double()
    joint = counts / counts.sum()
    of_labels, of_codes = joint.sum(1), joint.sum(0)
    shared = _entropy(of_labels) + _entropy(of_codes) - _entropy(joint.flatten())
    return {
        "pnmi": float(shared / _entropy(of_labels).clamp_min(1e-12)),
        "purity": float(joint.amax(0).sum()),
        "cluster_purity": float(joint.amax(1).sum()),
    }


def _entropy(shares: Tensor) -> Tensor:
    return -torch.xlogy(shares, shares).sum()
