import lightning as L
import pytest
import torch

from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import MLP
from ssl_zoo.methods.simsiam import SimSiam
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_the_predictor_keeps_its_learning_rate(name):
    """Chen and He, 2020, section 4.1: the predictor's rate is not decayed; the published code has `fix_lr` groups."""
    torch.manual_seed(0)
    model = SimSiam(MLP([16], 1, 8), DigitViews(), 16, 8, optimizer=Optimizer(name, 0.05, warmup=0.2))
    rates: list[dict[int, float]] = []

    class Watch(L.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
            rates.append({id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]})

    L.Trainer(
        accelerator="cpu",
        max_steps=10,
        callbacks=[Watch()],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, datamodule=ImageData(batch_size=64))
    predictor = {id(p) for p in model.predictor.parameters()}
    others = {id(p) for p in model.parameters()} - predictor
    assert len(rates) == 10
    assert all({step[p] for p in predictor} == {0.05} for step in rates)
    (course,) = {tuple(step[p] for step in rates) for p in others}
    assert course[0] < 0.02 and max(course) == pytest.approx(0.05) and course[-1] < 0.01
