"""Tests of the callback: `python -m pytest test_my_callback.py`."""

from pathlib import Path

import lightning as L
import torch
from my_callback import MyCallback

from ssl_zoo.callbacks.own_hooks import check_hooks
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.views.image import DigitViews


def test_lightning_can_call_it() -> None:
    """Its hooks take what Lightning gives, as every run checks before it begins."""
    check_hooks(MyCallback())


def test_it_logs_the_norm_of_all_weights(tmp_path: Path) -> None:
    """After two steps it is that of one long vector."""
    trainer = L.Trainer(
        max_steps=2,
        accelerator="cpu",
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[MyCallback(every=1)],
    )
    method = SimCLR(ResNet(10, 8, channels=1), DigitViews())
    trainer.fit(method, ImageData(batch_size=8, train_size=32))
    weights = torch.cat([parameter.detach().flatten() for parameter in method.encoder.parameters()])
    torch.testing.assert_close(trainer.callback_metrics["train/weight_norm"], weights.norm(), atol=1e-3, rtol=1e-4)
