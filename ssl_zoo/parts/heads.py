"""The small networks between an encoder and a loss."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import nn

from ssl_zoo.errors import InputError

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

    Raises:
        InputError: a size is smaller than 1.
    """
    if min(sizes) < 1:
        widths = ", ".join(map(str, sizes[1:]))
        raise InputError(f"A head's layers are to be {widths} wide: give hidden widths and sizes of at least 1.")
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
