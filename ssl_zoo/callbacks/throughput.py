"""How fast a run goes, and how much of that time it waits for data."""

import time
from typing import Any

import lightning as L
import torch

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.hardware import hardware_name, peak_memory
from ssl_zoo.lightning_inside import logs_now


class Throughput(L.Callback):
    """Logs examples per second over all ranks, and the share of time spent waiting for the next batch.

    Validation is left out of both. The totals are kept in checkpoints, so that a run knows what it cost after any
    number of interruptions.

    Attributes:
        samples: examples seen so far, over all ranks.
        seconds: time spent on training steps so far.
        peak_memory: the most bytes that the first rank has had in use, of its GPU or else of main memory.
        hardware: what the run is trained on, last; empty before it starts.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.seconds = 0.0
        self.peak_memory = 0
        self.hardware = ""
        self._device = torch.device("cpu")
        self._window = (0, 0.0, 0.0)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock starts; a run resumed in mid-epoch has no start of an epoch."""
        self._device = pl_module.device
        many = f"{trainer.world_size} processes on " if trainer.world_size > 1 else ""
        self.hardware = f"{many}{hardware_name(self._device)}"
        self._last_end = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What came between two epochs is not training; their first batch is waited for like any other."""
        self._last_end = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch has arrived."""
        self._arrived = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Adds the step to the totals, and logs as often as everything else."""
        now = time.perf_counter()
        samples = len(batch.index) * trainer.world_size
        self.samples += samples
        self.seconds += now - self._last_end
        seen, elapsed, waited = self._window
        self._window = (
            seen + samples,
            elapsed + now - self._last_end,
            waited + self._arrived - self._last_end,
        )
        if logs_now(trainer):
            seen, elapsed, waited = self._window
            pl_module.log_dict({metrics.THROUGHPUT: seen / elapsed, metrics.DATA_WAIT: waited / elapsed})
            self._window = (0, 0.0, 0.0)
        self._last_end = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation is not training."""
        self._last_end = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """The totals."""
        self.peak_memory = max(self.peak_memory, peak_memory(self._device))
        return {
            "samples": self.samples,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "hardware": self.hardware,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting from a checkpoint's totals."""
        self.samples, self.seconds = state_dict["samples"], state_dict["seconds"]
        self.peak_memory = state_dict.get("peak_memory", 0)  # checkpoints of 0.1 have none
        self.hardware = state_dict.get("hardware", "")
