"""A callback of one's own: what is watched while a method trains."""

from typing import Any

import lightning as L
import torch

from ssl_zoo.methods.base import Method


class MyCallback(L.Callback):
    """Logs how long the encoder's weights are, as `train/weight_norm`; weights that grow without end end in NaN.

    Args:
        every: Optimizer steps between two values.
    """

    def __init__(self, every: int = 10) -> None:
        self.every = every

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Called after every batch; `pl_module` is the method, and what is logged stands in metrics.csv."""
        assert isinstance(pl_module, Method)
        if trainer.global_step % self.every == 0:
            norms = [parameter.detach().norm() for parameter in pl_module.encoder.parameters()]
            pl_module.log("train/weight_norm", torch.stack(norms).norm())
