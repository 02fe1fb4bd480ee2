"""The checkpoint that everything after training reads."""

import signal
import threading
from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

# A run that dies loses at most so much.
INTERVAL = timedelta(minutes=10)


class LastCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt` up to date: every ten minutes, when the run fails or is interrupted, and at its end.

    Lightning's own `save_last` leaves the end out once a checkpoint has been saved on the way: a run of eleven minutes
    would be judged by what it was after ten.

    Ctrl-C lets the step that has begun come to its end. In the middle of one, weights and batch-norm statistics are
    those of neither step, and a run that went on from there would not be the one that was interrupted. A second Ctrl-C
    does not wait.
    """

    def __init__(self) -> None:
        super().__init__(save_last=True, train_time_interval=INTERVAL, save_on_exception=True)
        self._interrupted = False
        self._usual_handler: Any = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes over Ctrl-C, which only a process's main thread can."""
        super().on_train_start(trainer, pl_module)
        if threading.current_thread() is threading.main_thread():
            self._usual_handler = signal.signal(signal.SIGINT, self._interrupt)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Where a run may be interrupted."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._interrupted:
            raise KeyboardInterrupt

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Saves, and gives Ctrl-C back."""
        super().on_exception(trainer, pl_module, exception)
        self._give_back()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the end, unless the last step has been saved already, and gives Ctrl-C back."""
        if self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        self._give_back()

    def _interrupt(self, number: int, frame: Any) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def _give_back(self) -> None:
        if self._usual_handler is not None:
            signal.signal(signal.SIGINT, self._usual_handler)
            self._usual_handler = None
