"""Losses of a student that gives the same probabilities as its teacher, for other views of the same example."""

import torch
from torch import Tensor


def cross_view_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """DINO's loss (Caron et al., 2021, arXiv:2104.14294, equation 3), in nats.

    The mean, over all pairs of a teacher's view and another one of the student's and over examples, of the cross
    entropy ``-sum over k of P_t[k] log P_s[k]``.

    Args:
        student: ``(S, B, K)`` logits of S views, of which the first T are those that the teacher sees.
        teacher: ``(T, B, K)`` float32 probabilities; no gradient flows into them.
        temperature: divides the student's logits.

    Returns:
        Scalar float32.
    """
    with torch.autocast(student.device.type, enabled=False):
        log_probabilities = (student.float() / temperature).log_softmax(-1)
        # One product sums over examples and outputs at once; the same view of both is no pair.
        entropies = -(teacher.detach().flatten(1) @ log_probabilities.flatten(1).T)
        views, others = len(teacher), len(student) - 1
        same = torch.eye(*entropies.shape, dtype=torch.bool, device=entropies.device)
        return entropies.masked_fill(same, 0).sum() / (views * others * student.shape[1])


def hidden_entropy(student: Tensor, teacher: Tensor, valid: Tensor, temperature: float) -> Tensor:
    """The loss of iBOT at hidden places (Zhou et al., 2021, arXiv:2111.07832, equation 2), in nats.

    The mean over a view's hidden places of the cross entropy ``-sum over k of P_t[k] log P_s[k]``, then the mean over
    views, of which those that hide nothing count with 0, as in the published code.

    Args:
        student: ``(N, P, K)`` logits at P places of every view.
        teacher: ``(N, P, K)`` float32 probabilities at the same places; no gradient flows into them.
        valid: ``(N, P)`` bool, which of these places are hidden.
        temperature: divides the student's logits.

    Returns:
        Scalar float32.
    """
    with torch.autocast(student.device.type, enabled=False):
        nats = -(teacher.detach() * (student.float() / temperature).log_softmax(-1)).sum(-1)
        return ((nats * valid).sum(1) / valid.sum(1).clamp_min(1)).mean()


def entropy(probabilities: Tensor) -> Tensor:
    """``-sum over k of p[k] log p[k]`` in nats, of ``(..., K)`` probabilities; what never happens adds nothing."""
    return torch.special.entr(probabilities).sum(-1)
