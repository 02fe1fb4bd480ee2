"""What would spoil a run or end it later is refused before it begins, in one sentence and with exit code 2."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import main, run
from ssl_zoo.errors import InputError
from ssl_zoo.runs.checkpoints import read_checkpoint
from tests.contracts.experiments import EACH_METHOD, small
from tests.made import write_texts
from tests.runs.test_stopped_runs import directory, fit, learned, stopped


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("finished")
    run(fit(runs, "--trainer.max_steps=2"))
    return directory(runs) / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model.encoder.width=12"], "is of another model: its encoder."),
        (["--model.encoder=MLP"], "is of another model"),
        (["--model.optimizer.learning_rate=0.5"], "model.optimizer.learning_rate is 0.5, but"),
        (["--model.optimizer.name=sgd"], "model.optimizer.name is sgd, but"),
        (["--trainer.max_steps=2"], "The run has finished: its checkpoint"),
    ],
)
def test_a_checkpoint_that_the_run_cannot_go_on_from(capsys, tmp_path, finished, options, sentence):
    if "--model.encoder=MLP" in options:
        options = ["--model.encoder=ViT", "--model.encoder.patch_size=4", "--model.encoder.dim=16",
                   "--model.encoder.heads=2"]  # fmt: skip
    code, error = stopped(capsys, fit(tmp_path, f"--ckpt_path={finished}", *options))
    assert code == 2 and sentence in error and "more differ" not in error.split("(")[0]
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_damaged_and_a_malicious_checkpoint(capsys, tmp_path, finished):
    damaged = bytearray(finished.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / "damaged.ckpt").write_bytes(damaged)
    code, error = stopped(capsys, fit(tmp_path, f"--ckpt_path={tmp_path / 'damaged.ckpt'}"))
    assert code == 2 and "damaged" in error

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({**torch.load(finished, weights_only=True), "extra": Malicious()}, tmp_path / "malicious.ckpt")
    code, error = stopped(capsys, fit(tmp_path, f"--ckpt_path={tmp_path / 'malicious.ckpt'}"))
    assert code == 2 and "posix.mkdir" in error and not (tmp_path / "ran").exists()


def test_a_damaged_last_checkpoint_of_a_run_falls_back_to_the_one_before(capsys, tmp_path):
    saving = ["--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=1",
              "--trainer.callbacks.filename=each"]  # fmt: skip
    run(fit(tmp_path, "--trainer.max_steps=3", *saving))
    folder = directory(tmp_path)
    (folder / "checkpoints" / "each.ckpt").unlink()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"half a file")
    code, error = stopped(capsys, ["probe", f"--run={folder}", "--ceiling=false"])
    assert code == 2 and "damaged" in error  # there is no other
    run(fit(tmp_path / "again", "--trainer.max_steps=2"))
    other = directory(tmp_path / "again") / "checkpoints" / "last.ckpt"
    (folder / "checkpoints" / "last.previous.ckpt").write_bytes(other.read_bytes())
    run(["fit", f"--resume={folder}"])
    said = capsys.readouterr()
    assert "last.ckpt is damaged" in said.err and "goes on after step 2" in said.out
    assert learned(folder)["step"] == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--probe_after_fit=true", "--trainer.enable_checkpointing=false"], "a checkpoint is what is probed"),
        (["--trainer.accumulate_grad_batches=2"], "an epoch has 3 batches: its last step would be of 1 alone"),
        (["--probe_after_fit=true", "--probe.draws=0"], "probe: draws is 0: it must be at least 1"),
        (["--probe_after_fit=true", "--probe.labels_per_class=[5,-1]"], "labels_per_class is [5, -1]: each must be"),
        (["--online_probe.bank_size=-5"], "bank_size is -5: it must be at least 1"),
        (["--checkpoint_minutes=-1"], "checkpoint_minutes is -1.0"),
        (["--trainer.max_steps=0"], "trainer.max_steps is 0: nothing would be trained"),
        (["--trainer.max_steps=-1", "--trainer.max_epochs=0"], "trainer.max_epochs is 0: nothing would be trained"),
        (["--trainer.accumulate_grad_batches=0"], "accumulate_grad_batches is 0: give a number above 0, or leave it"),
        (
            ["--trainer.val_check_interval=0"],
            "val_check_interval is 0: give a number above 0, or set trainer.limit_val",
        ),
        (
            ["--trainer.check_val_every_n_epoch=0"],
            "trainer.check_val_every_n_epoch is 0: give a number above 0, or null to count steps",
        ),
        (
            ["--trainer.val_check_interval=20", "--trainer.check_val_every_n_epoch=1"],
            "val_check_interval is 20, but an epoch has 3 batches: set trainer.check_val_every_n_epoch to null to",
        ),
        (["--trainer.limit_train_batches=0"], "trainer.limit_train_batches is 0, which leaves no batch of an epoch"),
        (["--trainer.limit_train_batches=0.01"], "trainer.limit_train_batches is 0.01, which leaves no batch"),
        (["--trainer.limit_val_batches=0.01"], "limit_val_batches is 0.01, which leaves none of the "),
        (["--trainer.strategy=fsdp"], "trainer: The strategy `fsdp` requires a GPU accelerator"),
        (["--trainer.strategy=quickly"], "trainer: You selected an invalid strategy name"),
        (
            ["--trainer.num_nodes=0"],
            "trainer: `num_nodes` must be a positive integer, but got 0; change these settings",
        ),
        (["--trainer.barebones=true"], "trainer.barebones is true, but a run has a log"),
        (["--trainer.max_time=00:00:00:00"], "trainer.max_time is 00:00:00:00: give days:hours:minutes:seconds"),
        (
            ["--trainer.precision=16-true"],
            "precision is 16-true, but weights and losses are float32 here: take 16-mixed",
        ),
        (["--trainer.precision=bf16-true"], "take bf16-mixed"),
        (["--data.batch_size=1"], "data.batch_size is 1, but SimCLR compares"),
        (
            ["--trainer.devices=1000"],
            "trainer.devices is 1000, which on a CPU is as many processes with the data and the network in memory",
        ),
        (["--health.examples=1"], "health.examples is 1: it must be at least 2"),
        (["--experiment=../x/y"], "experiment is '../x/y': give the name of one folder"),
        (["--experiment=.."], "experiment is '..': give the name of one folder"),
        (["--experiment=../x/y", "--resume=auto"], "experiment is '../x/y': give the name of one folder"),
    ],
)
def test_settings_that_would_spoil_a_run_without_a_word(capsys, tmp_path, options, sentence):
    code, error = stopped(capsys, fit(tmp_path, *options))
    assert code == 2 and sentence in error
    assert not list(tmp_path.iterdir())  # it was not trained first, and nothing is left to be cleared away


@pytest.mark.parametrize("hook", ["on_train_start", "on_train_batch_start"])
def test_a_run_that_is_refused_at_its_first_step_leaves_nothing_and_one_later_what_it_has(capsys, tmp_path, hook):
    refuses = ["--trainer.callbacks=tests.fails.Refuses", f"--trainer.callbacks.hook={hook}"]
    code, error = stopped(capsys, fit(tmp_path, "--trainer.log_every_n_steps=1", *refuses))
    assert code == 2 and "nobody can go on" in error and not list(tmp_path.iterdir())
    if hook == "on_train_batch_start":
        code, error = stopped(
            capsys, fit(tmp_path, "--trainer.log_every_n_steps=1", *refuses, "--trainer.callbacks.step=2")
        )
        assert code == 2 and (directory(tmp_path) / "config.yaml").is_file()


def test_what_a_method_cannot_do_with_texts_is_refused_before_anything_is_written(capsys, tmp_path):
    options = ["fit", "--model=Denoising", "--model.encoder=BertEncoder", "--model.encoder.dim=16",
               "--model.encoder.depth=1", "--model.encoder.heads=2", "--model.encoder.max_length=64",
               "--data=TextData", "--data.source=TextFiles", "--data.vocab_size=120", "--data.length=32",
               f"--data.source.root={write_texts(tmp_path / 'texts.jsonl')}", "--trainer.accelerator=cpu",
               "--trainer.max_steps=1", f"--runs_dir={tmp_path / 'runs'}"]  # fmt: skip
    for more, sentence in (
        (["--model.sentinels=2"], "error: A row of 32 tokens can have 3 spans, and there are 2 sentinels: raise"),
        (["--model.max_targets=8"], "error: Of rows of 32 tokens up to 13 are written, but max_targets is 8: raise"),
        (["--model.shuffle_documents=true", "--data.packing=false"], "error: Documents are shuffled within packed"),
    ):
        code, error = stopped(capsys, [*options, *more])
        assert code == 2 and sentence in error
        assert not (tmp_path / "runs").exists()


def test_what_is_accumulated_may_end_with_the_run_or_with_a_shorter_epoch(tmp_path):
    run(fit(tmp_path / "short", "--trainer.accumulate_grad_batches=2", "--trainer.max_steps=1"))
    options = ["--trainer.accumulate_grad_batches=2", "--trainer.limit_train_batches=2", "--trainer.max_steps=3"]
    run(fit(tmp_path / "whole", *options))


@pytest.mark.slow
@pytest.mark.parametrize("path", EACH_METHOD)
def test_a_batch_of_one_is_refused_or_learned_from(capsys, tmp_path, path):
    """By every method, found by its experiment."""
    options = [*small(path, tmp_path / "runs"), "--data.batch_size=1", "--trainer.max_steps=2"]
    try:
        main([*options, "--trainer.log_every_n_steps=1"])
    except SystemExit as end:  # a refusal is one of two right answers
        assert end.code == 2 and "batch_size" in capsys.readouterr().err
        return
    losses = [float(row["train/loss"]) for row in learned(directory(tmp_path / "runs"))["rows"] if "train/loss" in row]
    assert losses and all(loss > 0 for loss in losses)


def test_a_last_batch_of_one_leaves_the_validation_loss_alone(tmp_path):
    """8 + 1 examples: a loss of 0 for the last would lower the mean."""
    options = ["--data.train_size=16", "--trainer.max_steps=4", "--model.optimizer.learning_rate=1e-12"]
    losses = []
    for count in ("1", "2"):
        runs = tmp_path / count
        parts = ["--data.validation_fraction=0.00625", "--data.test_fraction=0.2"]
        run(fit(runs, *options, f"--trainer.limit_val_batches={count}", *parts))
        losses.append([row["val/loss"] for row in learned(directory(runs))["rows"] if "val/loss" in row])
    assert losses[0] == losses[1] and losses[0]


@pytest.mark.parametrize("kind", ["a file", "read-only"])
def test_an_output_folder_that_cannot_be_written_is_found_out_before_anything_is_read(capsys, tmp_path, kind):
    runs = tmp_path / "runs"
    if kind == "a file":
        runs.write_text("in the way")
    else:
        runs = Path("/proc/runs")  # where nobody can make a file, not even the superuser
        if not runs.parent.is_dir():
            pytest.skip("there is no /proc")
    code, error = stopped(capsys, fit(runs, "--data.source=ImageFolder", "--data.source.root=/nowhere"))
    assert code == 2 and "Nothing can be written to" in error and "--runs_dir" in error


def test_a_disk_that_fills_up_while_training(capsys, tmp_path, tiny_disk):
    options = ["--checkpoint_minutes=1e-5", "--model.projection_hidden=16", "--model.projection_dim=8"]
    run(fit(tmp_path / "elsewhere", *options, "--trainer.max_steps=1"))
    size = (directory(tmp_path / "elsewhere") / "checkpoints" / "last.ckpt").stat().st_size
    room = os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_frsize
    (tiny_disk / "others").write_bytes(bytes(room - round(1.7 * size)))  # the first is written, the second is not
    code, error = stopped(capsys, fit(tiny_disk, *options, "--trainer.max_steps=6"))
    assert code == 2 and "No space left on device" in error and "the one before is still whole" in error
    assert read_checkpoint(directory(tiny_disk) / "checkpoints" / "last.ckpt")["global_step"] == 1


def test_a_resume_that_names_no_run(capsys, tmp_path):
    for options, sentence in (
        ([f"--resume={tmp_path}"], "no run at"),
        (["--resume"], "name a run directory"),
        (["--resume=auto", "--ckpt_path=other.ckpt"], "leave --ckpt_path out"),
    ):
        code, error = stopped(capsys, ["fit", *options])
        assert code == 2 and sentence in error


@pytest.mark.parametrize("kind", ["empty", "half", "no yaml", "no text"])
@pytest.mark.parametrize("auto", [False, True])
def test_damaged_settings_of_a_run_are_named(capsys, tmp_path, finished, kind, auto):
    folder = tmp_path / "simclr" / "run"
    shutil.copytree(finished.parents[1], folder)
    path = folder / "config.yaml"
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "half": whole[: whole.index(b"data:")], "no yaml": b"a: [b",
                      "no text": b"\xff\xfe\x00"}[kind])  # fmt: skip
    code, error = stopped(capsys, fit(tmp_path, "--resume=auto") if auto else ["fit", f"--resume={folder}"])
    assert code == 2 and f"the settings in {path} are damaged" in error and "--ckpt_path" in error


def test_a_run_with_results_and_no_checkpoint_does_not_begin_anew_over_them(capsys, tmp_path, finished):
    folder = tmp_path / "run"
    shutil.copytree(finished.parents[1], folder)
    (folder / "results.json").write_text('{"budget": {"steps": 2}}')
    shutil.rmtree(folder / "checkpoints")
    code, error = stopped(capsys, ["fit", f"--resume={folder}"])
    assert code == 2 and "has results but no checkpoint" in error
    assert not (folder / "checkpoints").exists()


def test_a_finished_run_says_by_how_much_to_raise_its_steps(capsys, finished):
    code, error = stopped(capsys, ["fit", f"--resume={finished.parents[1]}", "--trainer.max_steps=1"])
    assert code == 2 and "raise trainer.max_steps beyond 2 " in error


def test_figures_that_are_no_table_are_named(capsys, tmp_path, finished):
    folder = tmp_path / "run"
    shutil.copytree(finished.parents[1], folder)
    (folder / "metrics.csv").write_bytes(bytes(range(256)) * 4)
    code, error = stopped(capsys, ["fit", f"--resume={folder}", "--trainer.max_steps=4"])
    assert code == 2 and f"{folder / 'metrics.csv'} is no table" in error


@pytest.mark.parametrize("command", [["probe"], ["predict"], ["export", "--out=exported"], ["finetune"]])
def test_a_folder_that_is_none_of_a_run_is_not_called_one(tmp_path, finished, command):
    (tmp_path / "photos").mkdir()
    with pytest.raises(
        InputError, match=r"^There is no run at .*photos: give a folder like runs/<experiment>/<time>-<id>\.$"
    ):
        run([*command, f"--run={tmp_path / 'photos'}"])
    above = finished.parents[2]
    with pytest.raises(InputError, match=rf"^There is no run at {above}: give a folder such as {above}/.*\.$"):
        run([*command, f"--run={above}"])
