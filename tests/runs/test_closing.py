"""What a run leaves on the screen and on the disk: its closing lines, its log, and no empty folders."""

import csv
import shlex
from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import main, run
from ssl_zoo.front import answer
from ssl_zoo.runs.closing import closing_lines
from ssl_zoo.runs.files import last_checkpoint
from ssl_zoo.runs.resuming import remove_empty
from ssl_zoo.signals import requests
from tests.made import write_images

ROOT = Path(__file__).parents[2]
FIT = ["fit", "--config", str(ROOT / "experiments" / "image" / "simclr.yaml"),
       "--config", str(ROOT / "experiments" / "smoke.yaml"), "--data.source=null", "--data.image_size=12",
       "--data.train_size=20", "--data.batch_size=10", "--trainer.accelerator=cpu", "--model.encoder.depth=10",
       "--model.encoder.width=8"]  # fmt: skip

TENSORBOARD = ["--config", str(ROOT / "experiments" / "tensorboard.yaml")]


def commands(said: str, directory: Path) -> dict[str, list[str]]:
    """The commands that stand below a run's path, by what they are for."""
    (place,) = (at for at, line in enumerate(said.splitlines()) if line == f"Run: {directory}")
    lines = [line.split("ssl-zoo ") for line in said.splitlines()[place + 1 :] if line.startswith("  ")]
    return {purpose.strip(): shlex.split(command) for purpose, command in lines}


def logged(directory: Path) -> list[dict[str, str]]:
    with (directory / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_run_ends_with_its_path_and_commands_that_work(tmp_path, capsys):
    run([*FIT, f"--runs_dir={tmp_path / 'my runs'}"])
    (directory,) = tmp_path.glob("my runs/simclr/*")
    found = commands(capsys.readouterr().out, directory)
    assert list(found) == ["resume", "evaluate", "embed", "export"]
    assert Path(found["export"][-1]).parent == directory  # no other run's export is in the way
    assert all(not answer(command) for command in found.values())  # whose files are there
    run(found["resume"])
    checkpoint = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    capsys.readouterr()
    run(found["embed"])
    assert len(list(directory.rglob("embeddings*.npz"))) == 1


def test_no_export_is_offered_of_an_encoder_that_cannot_be_exported(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    last_checkpoint(tmp_path).touch()
    assert "ssl-zoo export" in closing_lines(tmp_path)
    assert "ssl-zoo export" not in closing_lines(tmp_path, exports=False)


def test_one_without_labels_does_too(tmp_path, capsys):
    images = write_images(tmp_path / "images", 30, classes=0, size=(12, 12))
    source = ["--data.source=ImageFolder", f"--data.source.root={images}", "--data.train_size=null",
              "--model.encoder.mean=data", "--model.encoder.std=data"]  # fmt: skip
    run([*(each for each in FIT if "data.source" not in each and "train_size" not in each), *source,
         f"--runs_dir={tmp_path}", "--probe_after_fit=true"])  # fmt: skip
    (directory,) = tmp_path.glob("simclr/*")
    assert {"resume", "embed", "export"} <= set(commands(capsys.readouterr().out, directory))
    results = (directory / "results.json").read_text()
    run(["fit", "--resume", str(directory), "--trainer.max_steps=4", "--probe_after_fit=false"])
    assert not (directory / "results.json").exists()  # whose weights are no longer there
    assert (directory / "after-2-steps-results.json").read_text() == results


def test_one_that_is_stopped_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(requests, "take", lambda took=requests.take: _interrupted(took))
    with pytest.raises(SystemExit) as ended:
        main([*FIT, f"--runs_dir={tmp_path}", "--trainer.max_steps=9"])
    assert ended.value.code == 130
    (directory,) = tmp_path.glob("simclr/*")
    said = capsys.readouterr()
    found = commands(said.out, directory)
    assert list(found) == ["resume", "evaluate", "embed", "export"]
    assert found["resume"] == ["fit", "--resume", str(directory)]
    assert "Stopped by Ctrl-C" in said.err


def test_an_empty_folder_that_another_process_removes_first_is_no_fault(tmp_path, monkeypatch):
    inner = tmp_path / "simclr" / "run"
    inner.mkdir(parents=True)
    remove = Path.rmdir
    monkeypatch.setattr(Path, "rmdir", lambda folder: [remove(folder) for _ in range(2)])  # both at once
    remove_empty([inner, inner.parent, tmp_path / "never"])
    assert not inner.parent.exists()


def _interrupted(took):
    """Signals are taken over twice: for the command, and for its training, which ends at its first step."""
    first = took()
    if not first:
        requests.received = 2
    return first


def test_a_trial_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--config", str(ROOT / "experiments" / "wandb.yaml")], TENSORBOARD):
        run([*FIT, "--trainer.fast_dev_run=true", *more])
    assert not list(tmp_path.iterdir()) and "Run:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--data.batch_size=1"], ["--data.source=ImageFolder", "--data.source.root=nowhere"],
        ["--config", str(ROOT / "experiments" / "wandb.yaml"), "--data.source=ImageFolder", "--data.source.root=no"],
    ],
)  # fmt: skip
def test_what_does_not_begin_leaves_no_folder(tmp_path, monkeypatch, capsys, wrong):
    monkeypatch.chdir(tmp_path)
    refused(capsys, *FIT, *wrong)
    assert not list(tmp_path.iterdir())


def test_a_run_shorter_than_the_interval_of_its_log_leaves_a_log(tmp_path):
    run([*FIT, f"--runs_dir={tmp_path}", "--trainer.max_steps=3", "--trainer.log_every_n_steps=50",
         "--trainer.limit_val_batches=0"])  # fmt: skip
    (directory,) = tmp_path.glob("simclr/*")
    rows = logged(directory)
    assert [row["step"] for row in rows] == ["2"] and float(rows[0]["train/loss"]) > 0


def test_last_is_the_newest_run_of_the_experiment(tmp_path, capsys):
    options = [f"--runs_dir={tmp_path}", "--trainer.max_steps=4"]
    error = refused(capsys, *FIT, *options, "--ckpt_path=last")
    assert f"no run in {tmp_path / 'simclr'} has a checkpoint" in error and not list(tmp_path.iterdir())
    run([*FIT, f"--runs_dir={tmp_path}", "--trainer.max_steps=2"])
    (first,) = tmp_path.glob("simclr/*")
    capsys.readouterr()
    run([*FIT, *options, "--ckpt_path=last"])
    assert str(first / "checkpoints" / "last.ckpt") in capsys.readouterr().out
    (second,) = (path for path in tmp_path.glob("simclr/*") if path != first)
    assert min(int(row["step"]) for row in logged(second)) >= 2  # after those of the first run
    assert "no best one" in refused(capsys, *FIT, *options, "--ckpt_path=best")


@pytest.mark.parametrize(("command", "left"), [("predict", "embeddings.npz"), ("test", "metrics.csv")])
def test_what_is_done_with_a_run_lies_below_it(tmp_path, monkeypatch, command, left):
    monkeypatch.chdir(tmp_path)
    run([*FIT, "--runs_dir=trained"])
    (directory,) = tmp_path.glob("trained/simclr/*")
    run([command, "--config", str(directory / "config.yaml"), "--ckpt_path=last"])
    assert len(list(directory.glob(f"{command}/*/{left}"))) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "trained"] and list(directory.parent.iterdir()) == [directory]


def test_without_a_checkpoint_it_is_said_that_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(["test", *FIT[1:], "--trainer.limit_test_batches=1"])
    assert (
        "Without --ckpt_path, test takes the method as it is before its first training step." in capsys.readouterr().out
    )
