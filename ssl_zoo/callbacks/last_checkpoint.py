"""The checkpoint that everything after training reads."""

from datetime import timedelta

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

# A run that dies loses at most so much.
INTERVAL = timedelta(minutes=10)


class LastCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt` up to date: every ten minutes, when the run fails or is interrupted, and at its end.

    Lightning's own `save_last` leaves the end out once a checkpoint has been saved on the way: a run of eleven minutes
    would be judged by what it was after ten.
    """

    def __init__(self) -> None:
        super().__init__(save_last=True, train_time_interval=INTERVAL, save_on_exception=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the end, unless the last step has been saved already."""
        if self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
