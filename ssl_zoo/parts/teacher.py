"""Teachers: copies that follow a network slowly and are never trained."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError
from ssl_zoo.schedules import along_cosine, along_line


class Teacher(nn.Module):
    """A copy of a module that follows it as an exponential moving average (the key encoder of He et al., 2019).

    After every optimizer step `Method.after_step` lets all teachers of a method follow: every parameter becomes

        m teacher + (1 - m) student

    What is no parameter does not follow. The copy's batch norm works as the student's does: in training on the
    statistics of the batch, of which it keeps running means of its own for evaluation. So do the published codes of
    MoCo (arXiv:1911.05722), BYOL (arXiv:2006.07733) and MoCo v3 (arXiv:2104.02057).

    A teacher in evaluation mode has no dropout in training either, as that of data2vec (arXiv:2202.03555); its buffers,
    such as statistics of batch norm, are then the student's.

    Args:
        student: What to copy and to follow; the copy starts equal to it.
        momentum: m in [0, 1], where 1 stands still: a number, or a function of the part of the run that is over.
        eval_mode: Whether the copy always works as in evaluation.
        shared: Names of parameters, or of parts with all of theirs, that are the student's own: m is 0 for them.

    Raises:
        InputError: the momentum is out of its range at the start or at the end of a run.
    """

    def __init__(
        self,
        student: nn.Module,
        momentum: float | Callable[[float], float],
        *,
        eval_mode: bool = False,
        shared: Sequence[str] = (),
    ) -> None:
        super().__init__()
        for value in (momentum(0.0), momentum(1.0)) if callable(momentum) else (momentum,):
            if not 0 <= value <= 1:
                raise InputError(
                    f"momentum is {value:g}; a teacher follows with one from 0 to 1, and stands still at 1."
                )
        self.module = deepcopy(student).requires_grad_(False)
        self.momentum, self.eval_mode = momentum, eval_mode
        self._student = (student,)  # in a tuple the student is no part of its teacher, nor saved twice
        within = tuple(f"{name}." for name in shared)
        self._follows = [not f"{name}.".startswith(within) for name, _ in student.named_parameters()]

    @torch.no_grad()
    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the copy makes of the inputs, without gradient."""
        if not (self.eval_mode and self.module.training):
            return self.module(*inputs, **named)
        # In between the copy is in the mode that the whole method is in: Lightning warns of a part that is not.
        parts = [part for part in self.module.modules() if part.training]
        self.module.eval()
        try:
            return self.module(*inputs, **named)
        finally:
            for part in parts:
                part.training = True

    @torch.no_grad()
    def follow(self, progress: float) -> None:
        """Moves every parameter towards the student's, all in one operation, and copies what they share.

        Args:
            progress: Part of the run that is over, in [0, 1].
        """
        momentum = self.momentum(progress) if callable(self.momentum) else self.momentum
        pairs = [*zip(self.module.parameters(), self._student[0].parameters(), self._follows, strict=True)]
        torch._foreach_lerp_(
            [own for own, _, follows in pairs if follows], [its for _, its, follows in pairs if follows], 1.0 - momentum
        )
        same: list[tuple[Tensor, Tensor]] = [(own, its) for own, its, follows in pairs if not follows]
        if self.eval_mode:
            same += zip(self.module.buffers(), self._student[0].buffers(), strict=True)
        if same:
            torch._foreach_copy_([own for own, _ in same], [its for _, its in same])


def in_groups(function: Callable[..., Tensor], groups: int, *examples: Tensor | None) -> Tensor:
    """`function` of the examples, a group at a time, so that batch norm in it sees one group only.

    Group g has every `groups`-th example from the g-th on. So a group of the global batch is the same examples on any
    number of ranks, and where batch norm is synchronized its statistics are too.

    Args:
        function: one or several ``(N, ...)`` to ``(N, D)``.
        groups: must divide B.
        *examples: ``(B, ...)`` each, such as inputs and their mask; a None is passed on as it is.

    Returns:
        ``(B, D)`` in the order of the examples.

    Raises:
        InputError: the groups are not equally large.
    """
    batch = next(len(each) for each in examples if each is not None)
    if batch % groups:
        raise InputError(
            f"A batch of {batch} on each device cannot be split into {groups} equal groups for batch norm: "
            "change data.batch_size or model.norm_groups."
        )
    parts = ([None if each is None else each[group::groups] for each in examples] for group in range(groups))
    return torch.stack([function(*part) for part in parts], dim=1).flatten(0, 1)


def cosine_momentum(start: float, progress: float) -> float:
    """BYOL's momentum (Grill et al., 2020, arXiv:2006.07733, section 3.2): from `start` to 1 along half a cosine.

    Args:
        start: tau at the beginning, in [0, 1].
        progress: part of the run that is over, in [0, 1].
    """
    return along_cosine(start, 1.0, progress)


def linear_momentum(start: float, end: float, part: float, progress: float) -> float:
    """data2vec's momentum (Baevski et al., 2022, arXiv:2202.03555, section 3.2): a line from `start` to `end`.

    Args:
        start: tau at the beginning, in [0, 1].
        end: tau once `part` of the run is over, and from there on.
        part: part of the run over which it rises, in [0, 1].
        progress: part of the run that is over, in [0, 1].
    """
    return along_line(start, end, part, progress)
