"""Teachers: copies that follow a network slowly and are never trained."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError


class Teacher(nn.Module):
    """A copy of a module that follows it as an exponential moving average (the key encoder of He et al., 2019).

    After every optimizer step `Method.after_step` lets all teachers of a method follow: every parameter becomes

        m teacher + (1 - m) student

    What is no parameter does not follow. The copy's batch norm works as the student's does: in training on the
    statistics of the batch, of which it keeps running means of its own for evaluation. So do the published codes of
    MoCo (arXiv:1911.05722), BYOL (arXiv:2006.07733) and MoCo v3 (arXiv:2104.02057).

    Args:
        student: What to copy and to follow; the copy starts equal to it.
        momentum: m in [0, 1], where 1 stands still: a number, or a function of the part of the run that is over.
    """

    def __init__(self, student: nn.Module, momentum: float | Callable[[float], float]) -> None:
        super().__init__()
        self.module = deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self._student = (student,)  # in a tuple the student is no part of its teacher, nor saved twice

    @torch.no_grad()
    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the copy makes of the inputs, without gradient."""
        return self.module(*inputs, **named)

    @torch.no_grad()
    def follow(self, progress: float) -> None:
        """Moves every parameter towards the student's, all in one operation.

        Args:
            progress: Part of the run that is over, in [0, 1].
        """
        momentum = self.momentum(progress) if callable(self.momentum) else self.momentum
        torch._foreach_lerp_([*self.module.parameters()], [*self._student[0].parameters()], 1.0 - momentum)


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
