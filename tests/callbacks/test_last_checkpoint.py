"""Two processes save and stop together, and do not talk about it after every batch."""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.distributed as dist

from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.signals import Stopped
from tests.callbacks.test_callbacks import method
from tests.sends_signals import Sends
from tests.two_processes import TwoProcesses

STEPS = 10


class Broadcasts(L.Callback):
    """Counts broadcasts and other collectives of whole objects while steps are trained."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.patch = patch

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for name in ("broadcast", "broadcast_object_list", "barrier", "all_gather_object"):
            self.patch.setattr(dist, name, self._counted(name, getattr(dist, name)))
            if hasattr(torch.distributed.distributed_c10d, name):
                self.patch.setattr(torch.distributed.distributed_c10d, name, getattr(dist, name))

    def _counted(self, name: str, function: Any) -> Any:
        def call(*args: Any, **settings: Any) -> Any:
            self.calls.append(name)
            return function(*args, **settings)

        return call

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 1:
            self.calls.clear()  # what the start costs

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen = list(self.calls)


class Slower(L.Callback):
    """Makes one rank late, as machines are."""

    def on_train_batch_end(self, *_: Any) -> None:
        time.sleep(0.03)


def train_as_rank(folder: Path, sender: int | None, signal_name: str, minutes: float) -> dict[str, Any]:
    """The part of one of two processes: what it has to say."""
    with pytest.MonkeyPatch.context() as patch:
        return train_and_count(Broadcasts(patch), folder, sender, signal_name, minutes)


def train_and_count(
    broadcasts: Broadcasts, folder: Path, sender: int | None, signal_name: str, minutes: float
) -> dict[str, Any]:
    warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
    rank = int(os.environ["LOCAL_RANK"])
    callbacks: list[L.Callback] = [ExactResume(), broadcasts, LastCheckpoint(minutes)]
    if rank == sender:
        callbacks.append(Sends("on_before_backward", 4, signal_name))
    if rank == 1:
        callbacks.append(Slower())
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", default_root_dir=folder, logger=False, callbacks=callbacks,
        max_steps=STEPS, limit_val_batches=0, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    code = 0
    try:
        trainer.fit(method(), datamodule=ImageData(image_size=8, batch_size=32))
    except Stopped as stopped:  # its code is what is asked
        code = int(stopped.code or 0)
    return {"code": code, "step": trainer.global_step, "calls": broadcasts.seen}


@pytest.fixture
def train(two_processes: TwoProcesses, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Trains on two processes."""

    def together(sender: int | None = None, name: str = "SIGTERM", minutes: float = 10.0) -> list[dict[str, Any]]:
        return two_processes(train_as_rank, tmp_path, sender, name, minutes)

    return together


def saved(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name, weights_only=False)


def test_no_rank_waits_for_a_broadcast_after_every_batch(train, tmp_path):
    for found in train():
        assert found == {"code": 0, "step": STEPS, "calls": []}
    assert saved(tmp_path)["global_step"] == STEPS


@pytest.mark.parametrize("sender", [0, 1])
def test_ranks_stop_after_the_same_step_whichever_was_asked_to(train, tmp_path, sender):
    first, second = train(sender, ("SIGINT", "SIGTERM")[sender])
    assert first["code"] == second["code"] == (130, 143)[sender]
    assert first["step"] == second["step"] == saved(tmp_path)["global_step"]
    assert 5 < first["step"] < STEPS


def test_ranks_save_together_when_it_is_time(train, tmp_path):
    assert [found["step"] for found in train(minutes=1e-4)] == [STEPS, STEPS]
    assert saved(tmp_path)["global_step"] == STEPS
    assert 1 < saved(tmp_path, "last.previous.ckpt")["global_step"] < STEPS
