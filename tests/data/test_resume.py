"""A run that was cut and resumed sees the batches that the uninterrupted one sees, in the same order."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.image.module import ImageData
from tests.two_processes import TwoProcesses

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")  # both share one

TOTAL = 14  # steps; an epoch has 4


class Recorder(L.LightningModule):
    """Remembers the examples of every step that it finished."""

    def __init__(self, fail_at: int = -1, ask_steps: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []
        self.validated: list[int] = []
        self.fail_at, self.ask_steps = fail_at, ask_steps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert isinstance(batch, Batch) and batch.inputs.dtype == torch.uint8
        if self.global_step == self.fail_at:
            raise RuntimeError("power cut")
        self.seen.append(batch.index.tolist())
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated += batch.index.tolist()

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return batch.index

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.ask_steps:
            _ = self.trainer.estimated_stepping_batches
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data(num_workers: int = 0) -> ImageData:
    torch.manual_seed(7)
    return ImageData(batch_size=32, train_size=4 * 32 + 5, num_workers=num_workers)


def trainer(folder: Path, **settings: Any) -> L.Trainer:
    settings = {"enable_checkpointing": False, "max_epochs": -1, **settings}
    return L.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def run(folder: Path, num_workers: int = 0, checkpoint: Path | None = None, **settings: Any) -> tuple[Recorder, Any]:
    module = Recorder(settings.pop("fail_at", -1), settings.pop("ask_steps", False))
    fitted = trainer(folder, **settings)
    fitted.fit(module, datamodule=data(num_workers), ckpt_path=checkpoint)
    return module, fitted


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[list[int]]:
    module, _ = run(tmp_path_factory.mktemp("whole"), max_steps=TOTAL)
    assert len(module.seen) == TOTAL and module.seen[:4] != module.seen[4:8]
    return module.seen


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8, 11])
def test_stopped_by_max_steps(tmp_path: Path, whole: list[list[int]], stop: int) -> None:
    first, cut = run(tmp_path, max_steps=stop)
    cut.save_checkpoint(tmp_path / "cut.ckpt")
    second, _ = run(tmp_path, checkpoint=tmp_path / "cut.ckpt", max_steps=TOTAL)
    assert first.seen + second.seen == whole


def test_stopped_twice_with_worker_processes(tmp_path: Path, whole: list[list[int]]) -> None:
    first, cut = run(tmp_path, num_workers=2, max_steps=3)
    cut.save_checkpoint(tmp_path / "1.ckpt")
    second, cut = run(tmp_path, num_workers=2, checkpoint=tmp_path / "1.ckpt", max_steps=6)
    cut.save_checkpoint(tmp_path / "2.ckpt")
    third, _ = run(tmp_path, num_workers=2, checkpoint=tmp_path / "2.ckpt", max_steps=TOTAL)
    assert first.seen + second.seen + third.seen == whole


@pytest.mark.parametrize("ask_steps", [False, True])
@pytest.mark.parametrize("every", [{"every_n_train_steps": 1}, {"save_on_train_epoch_end": True}, {}])
def test_any_checkpoint_of_a_run_of_epochs(
    tmp_path: Path, whole: list[list[int]], every: dict[str, Any], ask_steps: bool
) -> None:
    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, **every)
    run(tmp_path, max_epochs=2, enable_checkpointing=True, callbacks=[keep])
    checkpoints = sorted(tmp_path.glob("step=*.ckpt"), key=lambda path: int(path.stem[5:]))
    assert len(checkpoints) == (8 if "every_n_train_steps" in every else 2)
    for path in checkpoints:
        again = ModelCheckpoint(tmp_path, "again-{step}", **every)
        module, _ = run(
            tmp_path, checkpoint=path, max_epochs=3, ask_steps=ask_steps, enable_checkpointing=True, callbacks=[again]
        )
        assert module.seen == whole[int(path.stem[5:]) : 12], path


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_step_that_failed_is_done_again(tmp_path: Path, whole: list[list[int]], stop: int) -> None:
    def keep() -> dict[str, Any]:
        return {
            "enable_checkpointing": True,
            "callbacks": [ModelCheckpoint(tmp_path, every_n_epochs=99, save_last=True, save_on_exception=True)],
            "max_steps": TOTAL,
        }

    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path, fail_at=stop, **keep())
    module, _ = run(tmp_path, checkpoint=next(tmp_path.glob("*.ckpt")), **keep())
    assert module.seen == whole[stop:]


def test_the_order_comes_from_the_checkpoint_not_from_the_new_seed(tmp_path: Path, whole: list[list[int]]) -> None:
    _, cut = run(tmp_path, max_steps=5)
    cut.save_checkpoint(tmp_path / "cut.ckpt")
    torch.manual_seed(8)
    other = ImageData(batch_size=32, train_size=4 * 32 + 5)
    module = Recorder()
    trainer(tmp_path, max_steps=TOTAL).fit(module, datamodule=other, ckpt_path=tmp_path / "cut.ckpt")
    assert module.seen == whole[5:]
    rebuilt = ImageData.load_from_checkpoint(tmp_path / "cut.ckpt")
    assert rebuilt.order_seed == 7 and rebuilt.batch_size == 32 and rebuilt.train_size == 133


def test_two_runs_on_one_data_module_see_the_same(tmp_path: Path, whole: list[list[int]]) -> None:
    shared = data()
    for _ in range(2):
        module = Recorder()
        trainer(tmp_path, max_steps=5).fit(module, datamodule=shared)
        assert module.seen == whole[:5]


def test_short_epochs_go_on_through_the_data(tmp_path: Path, whole: list[list[int]]) -> None:
    module, _ = run(tmp_path, max_epochs=4, limit_train_batches=3)
    assert module.seen == whole[:12]


def test_overfit_batches_leaves_the_order_to_lightning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="turning off"):
        module, _ = run(tmp_path, max_epochs=2, overfit_batches=2)
    assert module.seen[:2] == module.seen[2:] and module.seen[0] != module.seen[1]


def test_validation_and_prediction_see_every_example_once(tmp_path: Path) -> None:
    module, fitted = run(tmp_path, max_epochs=1, num_sanity_val_steps=0)
    assert sorted(module.validated) == fitted.datamodule.validation_set.chosen.tolist()  # in a fixed random order
    predicted = trainer(tmp_path).predict(module, datamodule=data())
    assert torch.cat(predicted).tolist() == fitted.datamodule.test_set.chosen.tolist()


class GatheredRecorder(Recorder):
    """Writes what all ranks saw, in rank order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        together = self.all_gather(batch.index).flatten().tolist()
        self.seen.append(together)
        torch.save(self.seen, self.path.with_suffix(f".{self.global_rank}"))
        return self.weight.sum()


def record_as_rank(folder: Path) -> None:
    """The part of one of two processes."""
    module = GatheredRecorder(folder / "seen")
    trainer(folder, max_steps=5, strategy="ddp", devices=2).fit(module, datamodule=data())


def test_two_processes_see_what_one_sees(tmp_path: Path, whole: list[list[int]], two_processes: TwoProcesses) -> None:
    two_processes(record_as_rank, tmp_path)
    assert torch.load(tmp_path / "seen.0") == torch.load(tmp_path / "seen.1") == whole[:5]
