"""The supervised ceiling: the same encoder, views, batches and steps as a run, but trained with all labels."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo import metrics, optim
from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.progress import StepLines, StepProgress
from ssl_zoo.data.base import DataModule
from ssl_zoo.methods.base import Method
from ssl_zoo.randomness import example_keys


class Supervised(L.LightningModule):
    """Cross entropy on the pooled vectors of a method's encoder.

    Args:
        method: gives the encoder, the views and the optimizer's settings; its loss is not used.
        classes: number of classes.
    """

    def __init__(self, method: Method, classes: int) -> None:
        super().__init__()
        self.encoder, self.views = method.encoder, method.views
        self.optimizer = method.optimizer
        self.head = nn.Linear(method.encoder.dim, classes)

    def forward(self, batch: Batch) -> Tensor:
        """``(B, classes)`` logits."""
        return self.head(self.encoder(batch.inputs, batch.mask).pooled)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean cross entropy over all views."""
        assert batch.labels is not None
        labels = batch.labels
        if self.views is not None:
            inputs, mask = self.views.of(batch, example_keys(0, self.global_step, batch.index))
            batch = batch._replace(inputs=inputs, mask=mask, fields=None)
            labels = labels.repeat(self.views.views_per_example)
        loss = F.cross_entropy(self(batch).float(), labels)
        self.log(f"{metrics.TRAIN}/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """As the method's."""
        optimizer = optim.make_optimizer(self.optimizer, self)
        schedule = optim.scheduled(optimizer, self.optimizer, optim.total_steps(self.trainer))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_supervised(method: Method, data: DataModule, classes: int, steps: int, precision: Any) -> Supervised:
    """Trains a fresh encoder with all labels of the training set, on one device.

    Args:
        method: a method with an untrained encoder; it is trained in place.
        data: set up.
        classes: number of classes.
        steps: optimizer steps.
        precision: the Trainer's.

    Returns:
        The trained classifier, in evaluation mode.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Supervised(method, classes)
        trainer = L.Trainer(
            devices=1,
            max_steps=steps,
            precision=precision,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[StepProgress("supervised ceiling"), StepLines("supervised ceiling")],
            limit_val_batches=0,
        )
        # Not `data.train_dataloader()`, which may hold unlabelled examples too.
        batch_size = min(data.batch_size, len(data.train_set))
        loader = data.shuffled(data.train_set, batch_size, seed=0)
        trainer.fit(module, train_dataloaders=loader)
    return module.eval()
