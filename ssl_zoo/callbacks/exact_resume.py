"""A resumed run equals the uninterrupted one, bit for bit."""

from typing import Any

import lightning as L
import torch

from ssl_zoo.lightning_inside import begun_batches, log_from
from ssl_zoo.methods.base import Method


class ExactResume(L.Callback):
    """Seeds PyTorch's generators before every training step with a function of (seed, step, rank).

    Views and masks draw from keys and need no generator; dropout inside a network does. Lightning checkpoints keep no
    generator's state, and what validation drew in between should not matter anyway. The data order is the loader's own
    affair (`ssl_zoo.data.loader`).
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reads the seed, which has come from the checkpoint in a resumed run."""
        assert isinstance(pl_module, Method), "ssl_zoo trains methods"
        self.seed = int(pl_module.noise_seed)
        self._begins = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds this step; with accumulated gradients every batch of a step has its own."""
        if self._begins and pl_module.automatic_optimization:  # else a batch may take several steps, or none
            log_from(trainer, trainer.global_step)
        self._begins = False
        step = begun_batches(trainer)
        seed = hash((self.seed, step, trainer.global_rank)) & (2**63 - 1)  # of integers: the same in every process
        if pl_module.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # torch.manual_seed takes half a millisecond without a GPU
        else:
            torch.manual_seed(seed)
