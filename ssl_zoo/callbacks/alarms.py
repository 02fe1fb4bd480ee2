"""The sentences that a method has for a run that learns nothing, and one for a run that overfits, as plain warnings."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import total_steps

# Part of the run, and steps, before which a method may still be finding its feet.
PATIENCE, PATIENCE_STEPS = 0.2, 50
# Losses whose mean an alarm sees: enough to even out the batches, and of the present.
RECENT = 1000
LOSS = f"{metrics.TRAIN}/loss"
HELD_OUT = f"{metrics.VALIDATION}/loss"
# A validation loss that lies higher than at its lowest by this part of it, while the training loss fell.
OVERFIT = 0.05
# A training loss that lies higher than at its lowest by this part of it, and the part of the rank then that is left.
RELAPSE, RANK_LEFT = 0.1, 0.7


class Alarms(L.Callback):
    """Warns once of each of `Method.alarms` at a validation, after a fifth of the run and 50 steps at the earliest.

    An alarm sees the last logged value of its number, and of the training loss the mean since the last validation.
    Whatever the method, a validation loss that rises while the training loss falls is warned of, with the step at which
    it was lowest; and a training loss that rises again while the rank of the representation falls, as that of data2vec
    does where the learning rate is too high for its teacher.
    """

    def __init__(self) -> None:
        self._lowest: dict[str, float] = {}  # the validation loss at its lowest, its step, and the training loss then
        self._best: dict[str, float] = {}  # the training loss at its lowest, its step, and the rank then
        self._losses: deque[tuple[Tensor, int]] = deque(maxlen=RECENT)
        self._global_batch = 0
        self._warned: set[str] = set()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Remembers the loss; reading its value here would make the device wait."""
        # Lightning hands over what it has divided for the sum over accumulated batches.
        self._losses.append((outputs["loss"].detach(), trainer.accumulate_grad_batches))
        self._global_batch = len(batch.index) * trainer.world_size

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks at what has been logged, once all that a validation logs is there."""
        assert isinstance(pl_module, Method)
        if trainer.sanity_checking or not self._losses:
            return
        losses = [loss * accumulated for loss, accumulated in self._losses]
        self._losses.clear()
        if trainer.global_step < max(PATIENCE_STEPS, PATIENCE * total_steps(trainer)):
            return
        known = {name: float(value) for name, value in trainer.callback_metrics.items()}
        known[LOSS] = float(torch.stack(losses).mean())
        for alarm in pl_module.alarms(self._global_batch):
            if alarm.sounds(known) and alarm.metric not in self._warned:
                self._warned.add(alarm.metric)
                rank_zero_warn(alarm.sentence.format_map(known))
        self._look_for_overfitting(known, trainer.global_step)
        self._look_for_relapse(known, trainer.global_step)

    def _look_for_overfitting(self, known: Mapping[str, float], step: int) -> None:
        if HELD_OUT not in known:
            return
        lowest = self._lowest
        if not lowest or known[HELD_OUT] < lowest[HELD_OUT]:
            self._lowest = {HELD_OUT: known[HELD_OUT], LOSS: known[LOSS], "step": step}
        elif HELD_OUT not in self._warned and known[LOSS] < lowest[LOSS]:
            if known[HELD_OUT] > lowest[HELD_OUT] + OVERFIT * abs(lowest[HELD_OUT]):
                self._warned.add(HELD_OUT)
                rank_zero_warn(
                    f"The run overfits: {HELD_OUT} was lowest after step {lowest['step']:,.0f}, {lowest[HELD_OUT]:.3f},"
                    f" and is {known[HELD_OUT]:.3f} now, while {LOSS} went on falling, from {lowest[LOSS]:.3f} to "
                    f"{known[LOSS]:.3f}. More data, fewer steps (trainer.max_steps), a smaller encoder or more dropout "
                    "help."
                )

    def _look_for_relapse(self, known: Mapping[str, float], step: int) -> None:
        if metrics.HEALTH_RANK not in known:
            return
        best = self._best
        if not best or known[LOSS] < best[LOSS]:
            self._best = {LOSS: known[LOSS], metrics.HEALTH_RANK: known[metrics.HEALTH_RANK], "step": step}
        elif metrics.HEALTH_RANK not in self._warned and known[LOSS] > best[LOSS] + RELAPSE * abs(best[LOSS]):
            if known[metrics.HEALTH_RANK] < RANK_LEFT * best[metrics.HEALTH_RANK]:
                self._warned.add(metrics.HEALTH_RANK)
                rank_zero_warn(
                    f"The run forgets: {LOSS} was lowest after step {best['step']:,.0f}, {best[LOSS]:.3f}, and has "
                    f"risen to {known[LOSS]:.3f}, while {metrics.HEALTH_RANK} fell from "
                    f"{best[metrics.HEALTH_RANK]:.1f} to {known[metrics.HEALTH_RANK]:.1f}. Lower the learning rate, or "
                    "raise the momentum of the method's teacher where it has one."
                )

    def state_dict(self) -> dict[str, Any]:
        """A resumed run knows when its losses were lowest."""
        return {"lowest": self._lowest, "best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
        self._lowest, self._best = state_dict["lowest"], state_dict.get("best", {})
