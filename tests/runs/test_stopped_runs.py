"""A run that is stopped anywhere says how to go on, and then ends as if nothing had happened."""

import csv
import json
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_zoo.cli import main, run

ROOT = Path(__file__).parents[2]
SMALL = [
    "--config", str(ROOT / "experiments/image/simclr.yaml"), "--config", str(ROOT / "experiments/smoke.yaml"),
    "--data.source=null", "--data.image_size=12", "--data.train_size=24", "--data.test_fraction=0.05",
    "--model.encoder.depth=10", "--model.encoder.width=8", "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false", "--trainer.max_steps=8", "--trainer.limit_val_batches=2",
    "--trainer.val_check_interval=4",
]  # fmt: skip
PROBED = [
    "--probe_after_fit=true", "--probe.ceiling=false", "--probe.layers=false", "--probe.draws=1",
    "--probe.labels_per_class=[1]",
]  # fmt: skip
ACCUMULATED = ["--trainer.accumulate_grad_batches=3", "--trainer.max_steps=3"]


def fit(runs: Path, *options: str) -> list[str]:
    return ["fit", *SMALL, f"--runs_dir={runs}", *options]


def directory(runs: Path) -> Path:
    """The one run there is."""
    (found,) = runs.glob("*/*/config.yaml")
    return found.parent


def stopped(capsys: pytest.CaptureFixture[str], args: list[str]) -> tuple[int, str]:
    """Exit code and last line on standard error of a command that does not end well."""
    with pytest.raises(SystemExit) as end:
        main(args)
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error, error
    return int(end.value.code or 0), error.splitlines()[-1]


def learned(folder: Path) -> dict[str, Any]:
    """What training has made of a run: weights, the optimizer's state, and every figure that is no speed."""
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if value and "throughput" not in name}
                for row in csv.DictReader(file)]  # fmt: skip
    moments = {f"{slot}.{name}": value for slot, state in checkpoint["optimizer_states"][0]["state"].items()
               for name, value in state.items()}  # fmt: skip
    return {"step": checkpoint["global_step"], "rows": rows, **checkpoint["state_dict"], **moments}


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        same = torch.equal(value, theirs[name]) if isinstance(value, torch.Tensor) else value == theirs[name]
        assert same, (name, value, theirs[name])


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, Any]]:
    """The run that nobody stops, plain and with accumulated gradients."""
    found = {}
    for accumulated in (False, True):
        runs = tmp_path_factory.mktemp("calm")
        run(fit(runs, *(ACCUMULATED if accumulated else [])))
        found[accumulated] = learned(directory(runs))
    assert len(found[False]["rows"]) == 8 + 2
    return found


@pytest.mark.parametrize(
    ("hook", "step", "accumulated", "name", "saved"),
    [
        ("on_before_backward", 3, False, "SIGINT", 4),  # the step comes to its end
        ("on_train_batch_end", 3, False, "SIGTERM", 3),
        ("on_validation_start", 4, False, "SIGINT", 4),  # the validation begins anew
        ("on_validation_batch_end", 4, False, "SIGTERM", 4),
        ("on_train_epoch_end", 3, False, "SIGINT", 4),
        ("on_train_batch_start", 1, True, "SIGINT", 2),  # with all its accumulated batches
        ("on_before_zero_grad", 1, True, "SIGTERM", 2),
    ],
)
def test_a_run_that_is_stopped_goes_on_as_if_nothing_had_happened(
    capsys, tmp_path, calm, hook, step, accumulated, name, saved
):
    sends = ["--trainer.callbacks=tests.sends_signals.Sends", f"--trainer.callbacks.hook={hook}",
             f"--trainer.callbacks.step={step}", f"--trainer.callbacks.name={name}"]  # fmt: skip
    code, sentence = stopped(capsys, fit(tmp_path, *sends, *(ACCUMULATED if accumulated else [])))
    folder = directory(tmp_path)
    assert code == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert f"Stopped by {'Ctrl-C' if name == 'SIGINT' else 'SIGTERM'} after step {saved}" in sentence
    assert str(folder / "checkpoints" / "last.ckpt") in sentence
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == saved
    command = shlex.split(sentence.split("`")[1])
    assert command[0] == "ssl-zoo"
    run([*command[1:], "--trainer.callbacks=null"])
    assert directory(tmp_path) == folder
    assert_same(learned(folder), calm[accumulated])


def test_a_finished_run_that_is_given_more_steps_is_the_longer_run(tmp_path):
    constant = ["--model.optimizer.schedule=constant", "--model.optimizer.warmup=0"]
    run(fit(tmp_path / "whole", *constant))
    run(fit(tmp_path / "longer", *constant, "--trainer.max_steps=4"))
    run(["fit", f"--resume={directory(tmp_path / 'longer')}", "--trainer.max_steps=8"])
    whole, longer = learned(directory(tmp_path / "whole")), learned(directory(tmp_path / "longer"))
    for row in (*whole["rows"], *longer["rows"]):
        del row["epoch"]  # Lightning counts the epoch in which a run ends as a whole one
    assert_same(longer, whole)


def test_a_run_that_is_stopped_at_the_ends_of_two_epochs_counts_them_right(capsys, tmp_path, calm):
    """Lightning counts epochs wrongly from there on: it begins one less than it ends."""
    options = fit(tmp_path)
    for step in (3, 6):
        sends = ["--trainer.callbacks=tests.sends_signals.Sends", "--trainer.callbacks.hook=on_train_batch_end",
                 f"--trainer.callbacks.step={step}", "--trainer.callbacks.name=SIGTERM"]  # fmt: skip
        assert f"after step {step};" in stopped(capsys, [*options, *sends])[1]
        options = ["fit", f"--resume={directory(tmp_path)}"]
    run([*options, "--trainer.callbacks=null"])
    assert_same(learned(directory(tmp_path)), calm[False])


def test_a_run_that_is_stopped_before_its_first_step_begins_anew(capsys, tmp_path, calm):
    sends = ["--trainer.callbacks=tests.sends_signals.Sends", "--trainer.callbacks.hook=on_fit_start",
             "--trainer.callbacks.step=0", "--trainer.callbacks.name=SIGTERM"]  # fmt: skip
    code, sentence = stopped(capsys, fit(tmp_path, *sends))
    assert code == 143 and "before there was anything to save; `ssl-zoo fit --resume" in sentence
    run(["fit", f"--resume={directory(tmp_path)}", "--trainer.callbacks=null"])
    assert "has written no checkpoint yet: it begins anew" in capsys.readouterr().out
    assert_same(learned(directory(tmp_path)), calm[False])


def test_a_run_that_is_stopped_at_its_end_is_only_probed_afterwards(capsys, tmp_path, calm):
    sends = ["--trainer.callbacks=tests.sends_signals.Sends", "--trainer.callbacks.hook=on_validation_start",
             "--trainer.callbacks.step=8", "--trainer.callbacks.name=SIGTERM"]  # fmt: skip
    code, sentence = stopped(capsys, fit(tmp_path, *sends, *PROBED))
    folder = directory(tmp_path)
    assert code == 143 and "after its last step, 8" in sentence and not (folder / "results.json").exists()
    assert_same(learned(folder), calm[False])
    run(["fit", f"--resume={folder}"])
    assert (folder / "results.json").exists()
    code, sentence = stopped(capsys, ["fit", f"--resume={folder}"])
    assert code == 2 and "has finished" in sentence and "raise trainer.max_steps beyond 8" in sentence


def test_a_run_that_is_stopped_before_it_has_settings_is_not_to_be_resumed(capsys, tmp_path):
    sends = ["--trainer.callbacks=tests.sends_signals.Sends", "--trainer.callbacks.hook=setup",
             "--trainer.callbacks.step=0", "--trainer.callbacks.name=SIGTERM"]  # fmt: skip
    code, sentence = stopped(capsys, fit(tmp_path, *sends))
    assert code == 143 and not list(tmp_path.iterdir())  # nothing is left behind
    assert sentence.endswith("before there was anything to save; the same command begins again.")


def test_a_run_is_evaluated_again_that_was_stopped_after_more_steps(capsys, tmp_path, monkeypatch):
    run(fit(tmp_path, *PROBED, "--trainer.max_steps=4"))
    folder = directory(tmp_path)

    def interrupt(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("ssl_zoo.evaluation.probe.write_result", interrupt)  # while features are extracted, say
        code, sentence = stopped(capsys, ["fit", f"--resume={folder}", "--trainer.max_steps=8"])
    assert code == 130 and "`ssl-zoo fit --resume" in sentence
    with monkeypatch.context() as patch:
        patch.setattr("ssl_zoo.evaluation.probe.write_results", interrupt)  # when the results are there
        code, sentence = stopped(capsys, ["fit", f"--resume={folder}"])
    assert code == 130 and json.loads((folder / "results.json").read_text())["budget"]["steps"] == 8
    command = shlex.split(sentence.split("`")[1])
    assert "after its results were written" in sentence and command[:2] == ["ssl-zoo", "probe"]
    run([*command[1:], "--ceiling=false", "--layers=false", "--draws=1", "--labels_per_class=[1]"])


def test_what_was_done_after_the_last_checkpoint_is_done_and_logged_again(capsys, tmp_path, calm):
    sends = ["--trainer.callbacks=tests.sends_signals.Sends", "--trainer.callbacks.hook=on_train_batch_start",
             "--trainer.callbacks.step=2", "--trainer.callbacks.name=SIGINT"]  # fmt: skip
    stopped(capsys, fit(tmp_path, *sends))
    folder = directory(tmp_path)
    with (folder / "metrics.csv").open("a") as file:  # as a run leaves it that goes on from here and is killed
        width = (folder / "metrics.csv").read_text().splitlines()[0].count(",")
        step = (folder / "metrics.csv").read_text().splitlines()[0].split(",").index("step")
        file.write(",".join("3" if place == step else "9" for place in range(width + 1)) + "\n9,9")
    run(["fit", f"--resume={folder}", "--trainer.callbacks=null"])
    assert_same(learned(folder), calm[False])


def test_auto_takes_the_newest_run_of_the_experiment_and_the_command_line_overrides(capsys, tmp_path):
    options = fit(tmp_path, "--experiment=mine", "--resume=auto", "--trainer.max_steps=2")
    run(options)
    assert "There is no run in" in capsys.readouterr().out
    folder = directory(tmp_path)
    code, sentence = stopped(capsys, options)
    assert code == 2 and "has finished" in sentence
    run([*options, "--trainer.max_steps=4", "--model.temperature=0.7"])
    said = capsys.readouterr().out
    assert "overrides settings" in said and "trainer.max_steps: 2 -> 4" in said
    assert re.search(r"model\.temperature: [\d.]+ -> 0\.7", said)
    assert directory(tmp_path) == folder and learned(folder)["step"] == 4


def test_a_moved_run_goes_on_where_it_is_now(tmp_path):
    run(fit(tmp_path / "before", "--trainer.max_steps=2"))
    (tmp_path / "before").rename(tmp_path / "after")
    folder = directory(tmp_path / "after")
    run(["fit", "--resume", str(folder), "--trainer.max_steps=3"])
    assert learned(folder)["step"] == 3 and not (tmp_path / "before").exists()


def test_a_resumed_run_is_one_run_of_w_and_b(tmp_path):
    wandb = ["--config", str(ROOT / "experiments" / "wandb.yaml")]
    run(fit(tmp_path, *wandb, "--trainer.max_steps=2", "--trainer.logger.mode=offline"))
    folder = directory(tmp_path)
    run(["fit", f"--resume={folder}", "--trainer.max_steps=4"])
    found = [path.name.split("-", 3)[-1] for path in folder.glob("wandb/offline-run-*")]
    # W&B numbers the second one if it begins within the same second.
    assert len(found) == 2 and {name.removesuffix("-1") for name in found} == {folder.name}


def test_two_processes_do_not_train_the_same_run(capsys, tmp_path):
    from filelock import FileLock

    run(fit(tmp_path, "--trainer.max_steps=2"))
    folder = directory(tmp_path)
    with FileLock(folder / ".lock"):
        code, sentence = stopped(capsys, ["fit", f"--resume={folder}", "--trainer.max_steps=4"])
    assert code == 2 and "is being trained by another process" in sentence
