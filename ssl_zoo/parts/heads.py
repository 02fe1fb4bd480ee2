"""The small networks between an encoder and a loss."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import nn

RELU = partial(nn.ReLU, inplace=True)


def mlp(
    *sizes: int,
    norm: bool = True,
    norm_last: bool = False,
    bias_last: bool = True,
    activation: Callable[[], nn.Module] = RELU,
) -> nn.Sequential:
    """Linear layers with ReLU between them: a projection or prediction head.

    Args:
        *sizes: input, hidden and output sizes, at least two.
        norm: batch norm after every layer but the last; such layers need no bias.
        norm_last: batch norm without scale and shift after the last layer, which needs no bias then.
        bias_last: bias of the last layer; losses that only see how examples differ have no use for it.
        activation: makes what stands between two layers in place of ReLU.
    """
    *hidden, last = pairwise(sizes)
    layers: list[nn.Module] = []
    for entering, leaving in hidden:
        layers.append(nn.Linear(entering, leaving, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm1d(leaving))
        layers.append(activation())
    layers.append(nn.Linear(*last, bias=bias_last and not norm_last))
    if norm_last:
        layers.append(nn.BatchNorm1d(last[1], affine=False))
    return nn.Sequential(*layers)
