"""A long command says where it is at least every half minute, whatever it is doing."""

import os
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from ssl_zoo import whereabouts as module
from ssl_zoo.cli import run
from ssl_zoo.evaluation import figures
from ssl_zoo.whereabouts import Whereabouts, duration

ROOT = Path(__file__).parents[1]
FIT = ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"), "--trainer.accelerator=cpu",
       "--data.train_size=60", "--data.batch_size=20", "--model.encoder.depth=10", "--model.encoder.width=8",
       "--trainer.max_steps=6", "--trainer.check_val_every_n_epoch=1", "--trainer.limit_val_batches=1",
       "--trainer.log_every_n_steps=1",
       "--probe.draws=1", "--probe.labels_per_class=[1]", "--probe.layers=false"]  # fmt: skip


@pytest.fixture
def quickly(monkeypatch):
    """Half minutes are no time."""
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


def test_half_a_minute_is_the_longest_silence():
    assert module.LINE_SECONDS + 2 * module.LOOK_SECONDS < 30


def test_what_is_done_is_said_while_one_call_takes_long(capsys, quickly):
    where = Whereabouts()
    with where.during("ssl-zoo probe"):
        time.sleep(0.1)
        with where.during("probes of SimCLR"), where.during(lambda: "10 labels per class"):
            time.sleep(0.1)
        with where.during("pictures"):
            time.sleep(0.1)
    said = [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()]
    assert list(dict.fromkeys(said)) == ["ssl-zoo probe", "probes of SimCLR, 10 labels per class", "pictures"]
    time.sleep(0.1)
    assert not capsys.readouterr().out


def test_nothing_is_said_while_something_else_says_it(capsys, monkeypatch):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.2)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    where = Whereabouts()
    with where.during("training"):
        for _ in range(10):
            time.sleep(0.05)
            where.said()
    assert not capsys.readouterr().out


def test_a_fit_is_followed_from_its_first_step_to_its_ceiling(tmp_path, capsys, quickly, monkeypatch):
    tsne = figures.tsne  # of tests takes no time at all
    monkeypatch.setattr(figures, "tsne", lambda vectors: time.sleep(0.1) or tsne(vectors))
    run([*FIT, f"--runs_dir={tmp_path}"])
    lines = capsys.readouterr().out.splitlines()
    for beginning in (
        "step 2 of 6, ", "step 3: loss", "probes of SimCLR, ",
        "probes of untrained encoder, ", "supervised ceiling: step 2 of 6, ", "maps of the features (",
    ):  # fmt: skip
        assert any(line.startswith(beginning) for line in lines), (beginning, lines)
    assert not any(line.count("supervised ceiling") > 1 for line in lines)
    start = next(at for at, line in enumerate(lines) if line.startswith("step "))
    assert any("supervised ceiling" in line and "--probe.ceiling false leaves it out" in line for line in lines[:start])
    cost = next(at for at, line in enumerate(lines) if line.startswith("Supervised ceiling: "))
    assert "for 6 steps, as many as the run, which took" in lines[cost] and "--probe.ceiling false" in lines[cost]
    assert cost < next(at for at, line in enumerate(lines) if line.startswith("supervised ceiling: step"))


def fit_into(pipe: Path, options: list[str]) -> None:
    """A process that writes to a pipe."""
    os.dup2(os.open(pipe, os.O_WRONLY), 1)
    module.LINE_SECONDS = 0.0
    run(options)
    print("wandb", "wandb" in sys.modules, flush=True)


@pytest.fixture(scope="module")
def piped(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bool]]:
    """The lines of a run without a bar, and whether it was still running when each came out of its pipe."""
    folder = tmp_path_factory.mktemp("runs")
    fit = [*FIT, f"--runs_dir={folder}", "--probe_after_fit=false", "--trainer.enable_progress_bar=false"]
    os.mkfifo(folder / "pipe")
    process = get_context("forkserver").Process(target=fit_into, args=(folder / "pipe", fit))
    process.start()
    with (folder / "pipe").open() as lines:
        found = [(line, process.is_alive()) for line in lines]
    process.join(60)
    assert process.exitcode == 0
    return found


def test_a_pipe_gets_lines_while_they_are_news(piped):
    (running,) = [running for line, running in piped if line.startswith("step 2 of 6")]
    assert running and any(line.startswith("step 3: loss") for line, _ in piped)


def test_a_run_that_logs_to_nobody_imports_no_wandb(piped):
    assert piped[-1][0] == "wandb False\n"


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (59, "59 s"), (300, "5 min"), (11520, "3.2 h")])
def test_durations(seconds, words):
    assert duration(seconds) == words
