import warnings

import lightning as L
import pytest
import torch

from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import MLP
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.views.image import DigitViews


class Norms(L.Callback):
    """The norm of the gradients that each step was made of, and the largest of them."""

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.largest: list[float] = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        gradients = [p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]
        if gradients:
            self.norms.append(float(torch.cat(gradients).norm()))
            self.largest.append(float(torch.cat(gradients).abs().max()))


def fit(**settings) -> Norms:
    torch.manual_seed(0)
    model, norms = SimCLR(MLP([32], image_size=8), DigitViews(), projection_hidden=32, projection_dim=16), Norms()
    trainer = L.Trainer(
        accelerator="cpu", max_steps=4, callbacks=[norms], logger=False, limit_val_batches=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **settings,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.fit(model, datamodule=ImageData(image_size=8, batch_size=64))
    return norms


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_trainer_can_clip_gradients_in_every_precision(precision):
    free = fit(precision=precision)
    assert len(free.norms) >= 3 and min(free.norms) > 0.05
    by_norm = fit(precision=precision, gradient_clip_val=0.05)
    assert all(norm == pytest.approx(0.05, rel=1e-3) for norm in by_norm.norms)
    by_value = fit(precision=precision, gradient_clip_val=1e-3, gradient_clip_algorithm="value")
    assert max(free.largest) > 1e-3 and max(by_value.largest) == pytest.approx(1e-3)
