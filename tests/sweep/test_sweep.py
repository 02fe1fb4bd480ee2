"""What a sweep starts, skips, takes up again and reports, tried on a program that only pretends to train."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ssl_zoo.errors import InputError
from ssl_zoo.signals import Stopped, requests
from ssl_zoo.sweep import calibrate, commands, process
from ssl_zoo.sweep import sweep as sweeping
from ssl_zoo.sweep.plan import plan, read_variants
from ssl_zoo.sweep.state import read_state
from ssl_zoo.sweep.terms import Terms

# Writes down how it was called, and leaves what a run of 10 examples per second would leave. The experiment's name says
# how it goes: `broken` fails, `slow` waits to be interrupted.
PROGRAM = """
import json, pathlib, sys, time
options = dict(each.removeprefix("--").split("=", 1) for each in sys.argv[2:] if "=" in each)
with open("calls.txt", "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "probe":
    directory = pathlib.Path(sys.argv[3])
else:
    name = pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).stem
    new = pathlib.Path(options["runs_dir"]) / name / f"{time.time_ns()}"
    directory = pathlib.Path(options.get("resume", new))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text("model: {}")
    print("reading data", flush=True)
    if name == "broken":
        sys.exit("The data is missing.")
    if name == "slow":
        pathlib.Path("waiting").touch()
        try:
            time.sleep(60)
        finally:
            pathlib.Path("reported").touch()
    rows = "".join(f"{step},{10 if step else 1}\\n" for step in range(0, 50, 10))
    (directory / "metrics.csv").write_text("step,throughput/samples_per_second\\n" + rows)
result = {
    "protocol": 2, "method": "Fake", "encoder": "Fake", "parameters": 1,
    "data": {"source": "Fake", "split": "0", "train": 1, "validation": 1, "test": 1},
    "budget": {"steps": 7, "samples": 7, "seconds": 61}, "rows": {"Fake": {"linear": {"all": {"mean": 0.5}}}},
}
(directory / "results.json").write_text(json.dumps(result))
"""


def read(options: list[str]) -> dict[str, Any]:
    """Settings as the command line would have them, from the experiment's file and `--name=value` options."""
    settings = yaml.safe_load(Path(options[1]).read_text())
    settings["others"] = options[2:]
    return settings


class Sweep:
    """A sweep over a folder of experiments, and what it has started and compared."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.compared: list[list[Path]] = []

    def add(self, *names: str, batch_size: int = 4, **trainer: Any) -> None:
        for name in names:
            content = {
                "model": {"class_path": name},
                "data": {"init_args": {"batch_size": batch_size}},
                "trainer": {"max_steps": 20, "max_epochs": None, "accumulate_grad_batches": 1, **trainer},
                "probe": {"labels_per_class": [1, 5], "draws": 2, "ceiling": False},
            }
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(content))

    def __call__(self, *names: str, overrides: tuple[str, ...] = (), **options: Any) -> None:
        paths = [self.folder / f"{name}.yaml" for name in names] or [self.folder]
        sweeping.sweep(paths, read, list(overrides), out=self.out, **options)

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls.txt"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def interrupted_run(self, name: str, step: int) -> Path:
        """Leaves a run of seed 0 that has got as far as `step`."""
        self(name, seeds=1)
        (results,) = self.out.rglob("results.json")
        results.unlink()
        directory = results.parent
        (self.out / "sweep.json").unlink()
        (self.folder / "calls.txt").unlink()
        (directory / "checkpoints").mkdir()
        progress = {"epoch_progress": {"current": {"completed": 1}}}
        torch.save({"global_step": step, "loops": {"fit_loop": progress}}, directory / "checkpoints" / "last.ckpt")
        return directory


@pytest.fixture
def sweep(tmp_path, monkeypatch) -> Sweep:
    (tmp_path / "fake.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    program = [sys.executable, "-S", str(tmp_path / "fake.py")]
    monkeypatch.setattr(commands, "PROGRAM", program)
    monkeypatch.setattr(sweeping, "PROGRAM", program)
    monkeypatch.setattr(process, "POLL_SECONDS", 0.02)
    made = Sweep(tmp_path)
    monkeypatch.setattr(sweeping, "compare", lambda runs, out: made.compared.append(runs))
    return made


def option(call: list[str], name: str) -> str:
    (found,) = [each.split("=", 1)[1] for each in call if each.startswith(f"--{name}=")]
    return found


def test_every_experiment_runs_with_every_seed_and_all_are_compared(sweep):
    sweep.add("first", "second")
    sweep(seeds=2, overrides=("--probe.draws=1",))
    assert [(Path(call[2]).stem, option(call, "seed_everything")) for call in sweep.calls] == [
        ("first", "0"), ("second", "0"), ("first", "1"), ("second", "1")
    ]  # fmt: skip
    assert all(call[:2] == ["fit", "--config"] and "--probe.draws=1" in call for call in sweep.calls)
    assert not any("max_steps" in option for call in sweep.calls for option in call)
    (compared,) = sweep.compared
    assert sorted(compared) == sorted(path.parent for path in sweep.out.rglob("results.json")) and len(compared) == 4


def test_what_is_done_is_skipped_and_a_change_of_settings_is_another_run(sweep, capsys):
    sweep.add("first")
    sweep(seeds=1)
    sweep(seeds=1)
    assert len(sweep.calls) == 1 and len(sweep.compared) == 2 and sweep.compared[0] == sweep.compared[1]
    assert "linear probe with all labels 50.0 %, before" in capsys.readouterr().out
    sweep(seeds=1, overrides=("--model.temperature=1",))
    sweep.add("first", batch_size=8)
    sweep(seeds=1)
    sweep(seeds=1, samples=80)
    assert len(sweep.calls) == 4


def test_runs_that_a_batch_system_has_finished_are_only_compared(sweep, capsys):
    sweep.add("first", "second")
    sweep(seeds=1, list_only=True)
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 2 and not sweep.calls and not sweep.compared
    for line in listed:
        subprocess.run(line.replace("ssl-zoo", f"{sys.executable} -S fake.py", 1), shell=True, check=True)
    assert len(sweep.calls) == 2
    sweep(seeds=1)
    assert len(sweep.calls) == 2 and len(sweep.compared[0]) == 2
    sweep(seeds=1, list_only=True)
    assert "fit" not in capsys.readouterr().out.split("before")[-1]


def test_a_run_that_fails_is_named_with_its_log_and_the_others_go_on(sweep, capsys):
    sweep.add("broken", "whole")
    with pytest.raises(SystemExit) as stopped:
        sweep(seeds=1)
    assert stopped.value.code == 1 and len(sweep.compared[0]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    log = Path(line.split("see ")[1])
    assert "The data is missing." in line and "The data is missing." in log.read_text()
    statuses = {name.split("-")[0]: run["status"] for name, run in read_state(sweep.out)["runs"].items()}
    assert statuses == {"broken": "failed", "whole": "done"}
    with pytest.raises(SystemExit):
        sweep(seeds=1)
    assert [Path(call[2]).stem for call in sweep.calls] == ["broken", "whole", "broken"]


def test_a_half_done_run_goes_on_in_the_directory_that_has_a_whole_checkpoint(sweep):
    sweep.add("first")
    directory = sweep.interrupted_run("first", step=7)
    (directory / "checkpoints" / "half.ckpt").write_bytes(b"half a file")
    sweep("first", seeds=1)
    (call,) = sweep.calls
    assert option(call, "resume") == str(directory) and sweep.compared[-1] == [directory]


def test_a_trained_run_is_only_evaluated(sweep):
    sweep.add("first")
    directory = sweep.interrupted_run("first", step=20)
    sweep("first", seeds=1)
    options = ["--ceiling=false", "--draws=2", "--labels_per_class=[1, 5]"]
    assert sweep.calls == [["probe", "--run", str(directory), *options]] and sweep.compared[-1] == [directory]


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_is_counted_in_epochs_is_trained_after_the_last(sweep, epochs):
    sweep.add("first", max_steps=-1, max_epochs=epochs)
    sweep.interrupted_run("first", step=20)
    sweep("first", seeds=1)
    assert [call[0] for call in sweep.calls] == ["probe" if epochs == 1 else "fit"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_run_and_leaves_a_state_to_go_on_from(sweep, capsys, number):
    sweep.add("slow", "unstarted")
    handler = signal.getsignal(signal.SIGTERM)

    def interrupt() -> None:
        while not (sweep.folder / "waiting").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(SystemExit) as stopped:
        sweep(seeds=1)
    thread.join()
    assert stopped.value.code == 128 + number and "goes on from here" in capsys.readouterr().err
    assert (sweep.folder / "reported").exists() and not sweep.compared
    (run,) = read_state(sweep.out)["runs"].values()
    assert run["status"] == "interrupted" and Path(run["directory"]).is_dir()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_signal_does_not_cut_a_look_at_the_log_short(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "POLL_SECONDS", 0.02)
    looks = []

    def look() -> None:
        looks.append("begun")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        looks.append("ended")

    assert requests.take()
    try:
        with pytest.raises(Stopped) as stopped:
            process.run_logged([sys.executable, "-S", "-c", "import time; time.sleep(60)"], tmp_path / "log", look)
    finally:
        requests.give_back()
    assert looks == ["begun", "ended"] and stopped.value.code == 128 + signal.SIGTERM


def test_equal_samples_are_equal_whatever_the_batch(sweep):
    sweep.add("small", batch_size=4)
    sweep.add("large", batch_size=10, accumulate_grad_batches=2, max_time="00:01:00:00", max_epochs=3)
    sweep(seeds=1, samples=4000)
    large, small = sweep.calls
    assert option(small, "trainer.max_steps") == "1000" and option(large, "trainer.max_steps") == "200"
    # Validation is counted in batches, five times a run; nothing else may end it.
    assert option(small, "trainer.val_check_interval") == "200"
    assert option(large, "trainer.val_check_interval") == "80"
    assert option(large, "trainer.max_time") == "null" and option(large, "trainer.max_epochs") == "-1"
    assert not any("max_time" in each for each in small)


def test_a_budget_of_time_becomes_steps_at_the_measured_speed_which_is_measured_once(sweep):
    sweep.add("first", batch_size=4)
    sweep(seeds=2, budget="2min")
    calibration, *runs = sweep.calls
    assert set(calibrate.OPTIONS) < set(calibration)
    # 10 examples a second are 2.5 steps; the first window, at a tenth of that, does not count.
    assert [option(run, "trainer.max_steps") for run in runs] == ["300", "300"]
    assert not any("max_time" in each for run in runs for each in run)
    sweep(seeds=3, budget="2min")
    assert len(sweep.calls) == 4
    assert not (set(sweep.out.rglob("config.yaml")) - set(sweep.out.glob("*/seed*/*/*/config.yaml")))


def test_an_experiment_whose_speed_cannot_be_measured_fails_alone(sweep, capsys):
    sweep.add("broken", "whole")
    with pytest.raises(SystemExit):
        sweep(seeds=1, budget="10s")
    assert "could not be measured (The data is missing.)" in capsys.readouterr().out
    assert len(sweep.compared[0]) == 1


def test_a_folder_is_searched_for_experiments_and_overlays_are_none(sweep):
    sweep.add("first")
    (sweep.folder / "overlay.yaml").write_text("trainer:\n  devices: 2\n")
    sweep(seeds=1)
    assert [Path(call[2]).name for call in sweep.calls] == ["first.yaml"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seeds": 0}, "--seeds is 0"),
        ({"budget": "10 minutes"}, "--budget is '10 minutes': give a time such as"),
        ({"budget": "0s"}, "--budget is '0s'"),
        ({"samples": 0}, "--samples is 0"),
        ({"samples": 10, "budget": "1h"}, "not in both"),
        ({"overrides": ("--seed_everything=3",)}, "--seed_everything is for the sweep to set"),
        ({"overrides": ("--trainer.max_steps", "3"), "samples": 10}, "--trainer.max_steps is for the sweep"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(sweep, options, sentence):
    sweep.add("first")
    with pytest.raises(InputError, match=sentence):
        sweep(**options)
    assert not sweep.calls


def test_files_that_are_no_experiments_are_named(sweep):
    (sweep.folder / "empty").mkdir()
    for name, sentence in (("nowhere.yaml", "no file or folder"), ("empty", "holds no experiment")):
        with pytest.raises(InputError, match=sentence):
            sweeping.sweep([sweep.folder / name], read, [], out=sweep.out)
    sweep.add("first")
    sweep.out.mkdir()
    (sweep.out / "sweep.json").write_text("{")
    with pytest.raises(InputError, match=r"sweep.json is damaged"):
        sweep()


def test_two_sweeps_do_not_share_a_folder_at_once(sweep):
    from filelock import FileLock

    sweep.add("first")
    sweep.out.mkdir()
    with FileLock(sweep.out / "sweep.lock"), pytest.raises(InputError, match="another sweep is at work"):
        sweep()


def test_variants_are_runs_of_their_own_under_their_own_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "one.yaml"
    path.write_text("model: {}\n")
    variants = tmp_path / "variants.yaml"
    variants.write_text("small:\n  model.dim: 8\n  model.kind: {class_path: A, init_args: {b: null}}\nlarge: {}\n")
    planned = plan([path], ["--later=1"], Terms(None, None), tmp_path / "out", read, variants)
    named = ["--experiment=one-small", "--model.dim=8", '--model.kind={"class_path": "A", "init_args": {"b": null}}']
    assert planned[0].options == ["--config", str(path), *named, "--later=1"]
    assert planned[1].options == ["--config", str(path), "--experiment=one-large", "--later=1"]
    assert [each.name for each in planned] == ["one-small", "one-large"] and len({each.folder for each in planned}) == 2
    assert [each.folder.name.rsplit("-", 1)[0] for each in planned] == ["one-small", "one-large"]


@pytest.mark.parametrize("setting", ["seed_everything: 5", "runs_dir: x", "experiment: x", "config: x.yaml"])
def test_variants_cannot_set_what_the_sweep_sets(tmp_path, setting):
    path, variants = tmp_path / "one.yaml", tmp_path / "variants.yaml"
    path.write_text("model: {}\n")
    variants.write_text(f"small:\n  {setting}\n")
    with pytest.raises(InputError, match=f"sets {setting.split(':')[0]} in the variant small"):
        plan([path], [], Terms(None, None), tmp_path / "out", read, variants)


def test_a_mistake_in_a_variant_is_reported_with_its_name(tmp_path):
    path, variants = tmp_path / "one.yaml", tmp_path / "variants.yaml"
    path.write_text("model: {}\n")
    variants.write_text("right: {a: 1}\nwrong: {b: 2021-01-01}\n")

    def refusing(options):
        if any(each.startswith("--b=") for each in options):
            raise InputError("There is no option '--b'.")
        return read(options)

    with pytest.raises(InputError, match=r"^sweep: one-wrong: There is no option '--b'\.$"):
        plan([path], [], Terms(None, None), tmp_path / "out", refusing, variants)


def test_variants_may_be_of_different_length_only_where_the_terms_say_none(tmp_path):
    path, variants = tmp_path / "one.yaml", tmp_path / "variants.yaml"
    path.write_text("model: {}\n")
    variants.write_text("short:\n  trainer.max_steps: 5\n")
    (planned,) = plan([path], [], Terms(None, None), tmp_path / "out", read, variants)
    assert "--trainer.max_steps=5" in planned.options
    for content in ("trainer.max_steps: 5", "trainer: {max_steps: 5}"):
        variants.write_text(f"short:\n  {content}\n")
        with pytest.raises(InputError, match=r"sets trainer\.max_steps in the variant short"):
            plan([path], [], Terms(60.0, None), tmp_path / "out", read, variants)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("- a\n", "holds no variants"), ("a: 1\n", "holds no variants"), ("", "holds no variants"),
     ("a/b: {}\n", "a variant called a/b"), ("a: {\n", "is no YAML"), (None, "cannot be read"),
     ("a: {x: 1}\nb: {}\na: {x: 2}\n", "gives a twice, in lines 1 and 3"), ("1: {}\n'1': {}\n", "gives 1 twice"),
     ("a:\n  x: 1\n  x: 2\n", "gives x twice, in lines 2 and 3"), ("yes: {}\n", "reads as True: write it in quotes")],
)  # fmt: skip
def test_files_that_hold_no_variants_are_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "variants.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=sentence):
        read_variants(path)
