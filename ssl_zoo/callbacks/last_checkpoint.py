"""The checkpoint that everything after training reads."""

import math
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ssl_zoo.callbacks.agreement import Agreement
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import (
    Checkpointing,
    leave_signals_alone,
    loops_in_validation,
    loops_within_epoch,
    put_loops,
)
from ssl_zoo.runs.checkpoints import CheckpointFiles
from ssl_zoo.runs.files import LAST
from ssl_zoo.runs.outdated import put_results_aside
from ssl_zoo.signals import Stopped, requests


class LastCheckpoint(Checkpointing):
    """Keeps `last.ckpt` up to date: every few minutes, when the run is stopped, and at its end.

    Ctrl-C and SIGTERM let the step that has begun come to its end, with all its accumulated batches. In the middle of
    one, weights and batch-norm statistics are those of neither step, and a run that went on from there would not be the
    one that was interrupted; for the same reason a run that fails within a step is not saved there. A validation is
    broken off, and begins anew when the run goes on.

    Args:
        minutes: minutes between two checkpoints; a run that dies loses at most as much.

    Raises:
        InputError: `minutes` is negative or not finite.
    """

    def __init__(self, minutes: float = 10.0) -> None:
        if not 0 <= minutes < math.inf:
            raise InputError(f"checkpoint_minutes is {minutes}: it must be a number of minutes, 0 or more.")
        super().__init__(save_last=True, save_top_k=0, train_time_interval=timedelta(minutes=minutes))
        self._seconds = 60 * minutes
        self._steps = 0  # those that are done in whole
        self._between = False  # two steps, where the run can be taken up exactly
        self._loops: dict[str, Any] | None = None  # how far the loops were when a step ended after which to save
        self._stop_for: int | None = None
        self._owns_signals = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Has the Trainer write whole files."""
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # what nobody has chosen
            trainer.strategy.checkpoint_io = CheckpointFiles()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes over Ctrl-C and SIGTERM, and starts the clock."""
        super().on_train_start(trainer, pl_module)
        self._agreement, self._steps, self._between = Agreement(), trainer.global_step, True
        self._loops, self._stop_for = None, None
        self._owns_signals = requests.take()
        requests.postponed = True
        # Lightning's own way to agree on SIGTERM makes the device wait after every batch, and has nothing to do now.
        leave_signals_alone(trainer)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Saves if it is time to, and stops if asked to: what belongs to the last step has been logged by now."""
        if self._loops is not None:
            self._save_and_perhaps_stop(trainer)
        self._between = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Decides whether to save after this step."""
        if trainer.global_step == self._steps:
            return  # gradients are still being accumulated
        self._steps, self._between = trainer.global_step, True
        late = time.monotonic() - self.checked_at >= self._seconds
        save, self._stop_for = self._agreement.look(self._steps, late, requests.received)
        if save or self._stop_for is not None:
            # Lightning resumes from this point of its loops and from few others.
            self._loops = loops_within_epoch(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops here if asked to."""
        self._stop_within_validation(trainer)

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stops here if asked to; batch systems do not wait for a long validation."""
        self._stop_within_validation(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves saving to the next step."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves saving to the next step."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the end, and stops here if asked to."""
        self.save_end(trainer)
        requests.postponed = False  # before looking: a signal that comes in between is not overlooked
        asked = torch.tensor(float(requests.received or self._stop_for or 0), device=pl_module.device)
        number = int(trainer.strategy.reduce(asked, reduce_op="max"))  # ranks must not part here, one probing alone
        self._give_signals_back()
        if number:
            raise requests.leave(number, f"after its last step, {trainer.global_step}; the checkpoint is {self._path}")

    def save_end(self, trainer: L.Trainer) -> None:
        """Saves after the last step, unless that is done.

        Args:
            trainer: trainer of the run, which has trained to its end.
        """
        self._loops = None
        if self.saved_step != trainer.global_step:
            self._save(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Saves if a validation failed, and gives signals back."""
        # Not what has diverged or could not be saved; and several ranks could not save together, as one has failed.
        known = isinstance(exception, InputError | Stopped)
        in_validation = self._between and trainer.validating and not trainer.sanity_checking
        if in_validation and not known and trainer.world_size == 1 and self.saved_step != self._steps:
            self._loops = loops_in_validation(trainer)
            self._save(trainer)
        self._between = False
        self._give_signals_back()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts in how far the loops were."""
        if self._loops is not None:
            put_loops(checkpoint, self._loops)

    def _stop_within_validation(self, trainer: L.Trainer) -> None:
        ends = trainer.global_step == trainer.max_steps  # a run of all its steps cannot be taken up in its validation
        if not self._between or trainer.sanity_checking or trainer.world_size > 1 or ends:
            return  # several ranks agree on stopping between two steps only
        self._stop_for = self._stop_for or requests.received
        if self._stop_for is not None:
            self._loops = loops_in_validation(trainer)
            self._save_and_perhaps_stop(trainer)

    def _save_and_perhaps_stop(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()  # no line of the log is lost that a run from this checkpoint would not write again
        self._save(trainer)
        if self._stop_for is not None:
            raise requests.leave(self._stop_for, f"after step {self._steps}; the checkpoint is {self._path}")

    def _save(self, trainer: L.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it where type checkers cannot see
            self.save_now(trainer, self._path)
            if trainer.is_global_zero:
                put_results_aside(Path(str(self.dirpath)).parent, trainer.global_step)
        self.last_model_path, self.checked_at, self._loops = self._path, time.monotonic(), None

    @property
    def state_key(self) -> str:
        """The same whatever the interval is: a resumed run may have another."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """Nothing: it lies where the run does."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Needs nothing."""

    @property
    def _path(self) -> str:
        return os.path.join(str(self.dirpath), LAST)

    def _give_signals_back(self) -> None:
        requests.postponed = False
        if self._owns_signals:
            requests.give_back()
            self._owns_signals = False
