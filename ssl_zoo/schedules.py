"""Courses of a learning rate over a run, as factors of its highest value, and of other settings from one to another."""

import math
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Schedule = Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt"]

# Factors of the learning rate, in [0, 1], given the part in [0, 1] of the time after the warm-up that is over, and the
# steps of the warm-up as a part of those taken, in (0, 1].
_COURSES: dict[Schedule, Callable[[float, float], float]] = {
    "cosine": lambda progress, risen: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "linear": lambda progress, risen: 1.0 - progress,
    "constant": lambda progress, risen: 1.0,
    "wsd": lambda progress, risen: min(1.0, 5.0 * (1.0 - progress)),
    "inverse_sqrt": lambda progress, risen: math.sqrt(risen),
}


def factor_of(schedule: Schedule, warmup: float, total_steps: int) -> Callable[[int], float]:
    """The factor of the learning rate at a step, counted from 0: linear warm-up from zero, then the schedule.

    With w steps of warm-up, the next one included, and s steps taken, `inverse_sqrt` is ``min(s / w, sqrt(w / s))``:
    the rate of Vaswani et al. (2017, arXiv:1706.03762, equation 3), ``d^-.5 min(s^-.5, s w^-1.5)``, is that with
    ``(d w)^-.5`` as its highest.

    Args:
        schedule: what follows the warm-up.
        warmup: part of the run spent warming up.
        total_steps: optimizer steps in the whole run.
    """
    warmup_steps, course = round(warmup * total_steps), _COURSES[schedule]

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return course(min(1.0, progress), (warmup_steps + 1) / (step + 1))

    return factor


def along_cosine(start: float, end: float, progress: float) -> float:
    """What a setting is that moves from `start` to `end` along half a cosine.

    Args:
        start: value at the beginning.
        end: value at the end.
        progress: part of the run that is over, in [0, 1].
    """
    return end - (end - start) * (1.0 + math.cos(math.pi * progress)) / 2.0


def along_line(start: float, end: float, part: float, progress: float) -> float:
    """What a setting is that moves from `start` to `end` along a line, and stays there.

    Args:
        start: value at the beginning.
        end: value once `part` of the run is over, and from there on.
        part: part of the run over which it moves, in [0, 1].
        progress: part of the run that is over, in [0, 1].
    """
    return end if progress >= part else start + (end - start) * progress / part


class Course(LambdaLR):
    """Rates that a checkpoint does not bring along: a run that goes on for longer than planned follows its new course.

    PyTorch would take the next step at the old rate, which at the end of a run that decays is zero.

    Args:
        optimizer: optimizer whose settings follow their courses.
        factors: factor of the learning rate at a step, for each of its groups.
        weight_decay: weight decay at a step, of groups that have any, with `adapt` True; None leaves it as it is.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factors: list[Callable[[int], float]],
        weight_decay: Callable[[int], float] | None = None,
    ) -> None:
        self.weight_decay = weight_decay
        super().__init__(optimizer, factors)

    def step(self, epoch: int | None = None) -> None:
        """Sets the rates, and the weight decay, of the next step."""
        super().step(epoch)
        self._decay()

    def _decay(self) -> None:
        if self.weight_decay is not None:
            for group in self.optimizer.param_groups:
                if group["adapt"]:
                    group["weight_decay"] = self.weight_decay(self.last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The step; courses come from the settings of the run."""
        return {name: value for name, value in super().state_dict().items() if name != "weight_decay"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the step, and sets the rates that it has now; the optimizer's state is loaded before."""
        super().load_state_dict(state_dict)
        for group, rate, factor in zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True):
            group["lr"] = rate * factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self._decay()
