"""Heads first: an encoder stands still for the first part of a run, resumed or not and on any number of processes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.cli import main, run
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.byol import BYOL
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.freezing import stand_still, steps_frozen, trains_more_than
from ssl_zoo.views.image import DigitViews

STEPS = 4


class HeadLess(Method):
    """Trains an encoder and nothing on it."""

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": self.encoder(batch.inputs).pooled.square().mean()}


HEADS = ["--model.views=DigitViews", "--model.projection_hidden=32", "--model.projection_dim=16"]


def options(runs: Path, *more: str, model: str = "BYOL", heads: list[str] = HEADS) -> list[str]:
    return ["fit", f"--model={model}", "--model.encoder=ResNet", "--model.encoder.depth=10", "--model.encoder.width=8",
            *heads, "--model.optimizer.freeze_encoder=0.5", "--model.optimizer.warmup=0", "--data=ImageData",
            "--data.train_size=64", "--data.batch_size=32", f"--trainer.max_steps={STEPS}", "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false", "--trainer.precision=32-true", "--trainer.limit_val_batches=1",
            "--trainer.gradient_clip_val=1", "--trainer.callbacks=ModelCheckpoint",
            "--trainer.callbacks.every_n_train_steps=1", "--trainer.callbacks.save_top_k=-1",
            "--trainer.callbacks.filename={step}", "--probe_after_fit=false", f"--runs_dir={runs}", *more]  # fmt: skip


def checkpoints(runs: Path) -> dict[int, dict[str, Any]]:
    """What a run has saved after each step."""
    found = {
        step: torch.load(path, weights_only=True)
        for step in range(1, STEPS + 1)
        for path in runs.glob(f"*/*/checkpoints/step={step}.ckpt")
    }
    return found


@pytest.fixture(scope="module")
def frozen(tmp_path_factory) -> tuple[Path, dict[int, dict[str, Any]]]:
    runs = tmp_path_factory.mktemp("frozen")
    run(options(runs))
    return runs, checkpoints(runs)


def part(checkpoint: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in checkpoint["state_dict"].items() if key.startswith(name)}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys() and one
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_an_encoder_stands_still_with_its_statistics_and_its_teacher_while_heads_learn(frozen):
    _, after = frozen
    for name in ("encoder.", "target_encoder."):
        assert same(part(after[1], name), part(after[2], name))
        assert not same(part(after[2], name), part(after[3], name))
        fresh = part(after[2], name)
        assert all(not value for key, value in fresh.items() if key.endswith("num_batches_tracked"))
    moved = {key: value for key, value in part(after[3], "encoder.").items() if key.endswith("running_mean")}
    assert all(value.any() for value in moved.values())
    for name in ("projector.", "predictor.", "target_projector."):
        assert not same(part(after[1], name), part(after[2], name))
    # No momentum has gathered meanwhile: of the encoder the optimizer knows nothing yet.
    states = [len(after[step]["optimizer_states"][0]["state"]) for step in (1, 2, 3)]
    assert states[0] == states[1] < states[2]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_resumed_run_thaws_where_the_uninterrupted_one_does(frozen, step, tmp_path):
    runs, after = frozen
    (middle,) = runs.glob(f"*/*/checkpoints/step={step}.ckpt")
    run(options(tmp_path, "--ckpt_path", str(middle), "--seed_everything=99"))
    resumed = checkpoints(tmp_path)
    assert same(after[STEPS]["state_dict"], resumed[STEPS]["state_dict"])
    assert resumed.keys() == set(range(step + 1, STEPS + 1))


def fit_as_rank(runs: Path) -> None:
    # Adam divides by the gradient's size, which turns a rounding error in a tiny gradient into a whole step.
    run(options(runs, "--trainer.strategy=ddp", "--trainer.devices=2", "--model.optimizer.name=sgd"))


def test_two_processes_compute_what_one_does(two_processes, tmp_path):
    run(options(tmp_path / "one", "--model.optimizer.name=sgd"))
    two_processes(fit_as_rank, tmp_path / "two")
    one, two = checkpoints(tmp_path / "one"), checkpoints(tmp_path / "two")
    assert same(part(one[1], "encoder."), part(two[2], "encoder."))
    for step in (2, 4):
        for name, value in one[step]["state_dict"].items():
            torch.testing.assert_close(value, two[step]["state_dict"][name], atol=1e-4, rtol=1e-3)


def test_a_part_of_a_run_is_whole_steps_and_never_all_of_them():
    assert [steps_frozen(part, 10) for part in (0.0, 0.1, 0.25, 0.99)] == [0, 1, 2, 9]
    assert steps_frozen(0.9, 1) == 0 and steps_frozen(0.29, 100) == 29


def test_norms_of_heads_go_on():
    method = BYOL(ResNet(10, 8, channels=1), DigitViews(), projection_hidden=16, projection_dim=8).train()
    stand_still(method, True)
    norms = {name: part.training for name, part in method.named_modules() if "BatchNorm" in type(part).__name__}
    assert {name for name, training in norms.items() if not training} == {
        name for name in norms if name.startswith(("encoder.", "target_encoder."))
    }
    stand_still(method, False)
    assert all(part.training for part in method.modules())
    assert trains_more_than(method, method.encoder)


def test_what_cannot_be_frozen_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match=r"optimizer\.freeze_encoder is 1"):
        Optimizer(freeze_encoder=1.0)
    with pytest.raises(SystemExit) as stopped:
        main(options(tmp_path, model=f"{__name__}.HeadLess", heads=[]))
    assert stopped.value.code == 2
    assert "HeadLess has nothing to train but its encoder" in capsys.readouterr().err
