"""Momentum encoders: copies that follow a network slowly and are never trained."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError


class MomentumCopy(nn.Module):
    """A copy of a module that follows it as an exponential moving average (the key encoder of He et al., 2019).

    It is never trained. Its batch norm works as the original's does, on the statistics of the batch, as in the papers.

    Args:
        module: what to copy; the copy starts equal to it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the copy makes of the inputs, without gradient."""
        return self.module(*inputs, **named)

    @torch.no_grad()
    def follow(self, original: nn.Module, momentum: float) -> None:
        """Moves every weight to ``momentum * copy + (1 - momentum) * original``, all in one operation.

        Args:
            original: the module that was copied, as it is now.
            momentum: in [0, 1]; 1 stands still.
        """
        torch._foreach_lerp_([*self.module.parameters()], [*original.parameters()], 1.0 - momentum)


def in_groups(function: Callable[[Tensor], Tensor], examples: Tensor, groups: int) -> Tensor:
    """`function` of the examples, a group at a time, so that batch norm in it sees one group only.

    Group g has every `groups`-th example from the g-th on. So a group of the global batch is the same examples on any
    number of ranks, and where batch norm is synchronized its statistics are too.

    Args:
        function: ``(N, ...)`` to ``(N, D)``.
        examples: ``(B, ...)``.
        groups: must divide B.

    Returns:
        ``(B, D)`` in the order of the examples.

    Raises:
        InputError: the groups are not equally large.
    """
    if len(examples) % groups:
        raise InputError(
            f"A batch of {len(examples)} on each device cannot be split into {groups} equal groups for batch norm: "
            "change data.batch_size or model.norm_groups."
        )
    return torch.stack([function(examples[group::groups]) for group in range(groups)], dim=1).flatten(0, 1)


def cosine_momentum(start: float, progress: float) -> float:
    """BYOL's momentum (Grill et al., 2020, arXiv:2006.07733, section 3.2): from `start` to 1 along half a cosine.

    Args:
        start: tau at the beginning, in [0, 1].
        progress: part of the run that is over, in [0, 1].
    """
    return 1.0 - (1.0 - start) * (1.0 + math.cos(math.pi * progress)) / 2.0
