"""Codes that share a batch among all prototypes: entropic optimal transport by Sinkhorn's iterations."""

import torch
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int, counted: Tensor | None = None) -> Tensor:
    """Probabilities of prototypes for each example, near its scores, with all prototypes as much in use as each other.

    SwAV's codes (Caron et al., 2020, arXiv:2006.09882, equation 5; Cuturi, 2013, arXiv:1306.0895): from exp(scores /
    epsilon), every prototype's column and then every example's row is scaled to its share, again and again. Logarithms
    are what is scaled, as the exponential of large scores is no number in half precision.

    Args:
        scores: ``(N, K)``, of the global batch and of whatever else codes are to be shared with.
        epsilon: how soft the codes are; their entropy's weight.
        iterations: how often columns and rows are scaled.
        counted: ``(N,)`` bool, the examples that take part in the sharing; None for all of them.

    Returns:
        ``(N, K)`` float32; every row sums to one, also of an example that is not counted.
    """
    with torch.autocast(scores.device.type, enabled=False):
        logarithms = scores.float() / epsilon
        for _ in range(iterations):
            columns = logarithms if counted is None else logarithms.masked_fill(~counted[:, None], -torch.inf)
            logarithms = logarithms - columns.logsumexp(0, keepdim=True)
            logarithms = logarithms.log_softmax(1)
        return logarithms.exp()
