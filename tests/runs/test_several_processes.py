"""A run of two processes that is stopped or refused: both end soon, each with its code, and one of them says why."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL, SIGTERM
from threading import Thread
from typing import Any, NamedTuple

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from ssl_zoo import cli, processes
from ssl_zoo.cli import run
from ssl_zoo.processes import end_children, lacks_another, speaks
from tests.runs.test_stopped_runs import ROOT, directory, fit, learned

TWO = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_steps=100000", "--trainer.log_every_n_steps=1"]
# Long enough for a busy machine, and far less than what a connection takes to time out.
SOON = 10.0


class Ended(NamedTuple):
    """How processes came to their end: their codes, what they wrote, and how long they lived on after a sentence."""

    codes: list[int]
    errors: str
    seconds: float


def start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ssl_zoo", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def watch(started: list[subprocess.Popen[str]]) -> Ended:
    """Waits for all of them."""
    lines: list[tuple[float, str]] = []

    def read(process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            lines.extend((time.monotonic(), line) for line in process.stderr)

    readers = [Thread(target=read, args=[process]) for process in started]
    for reader in readers:
        reader.start()
    codes = [process.wait(300) for process in started]
    end = time.monotonic()
    for reader in readers:
        reader.join()
    said = min((moment for moment, line in lines if line.startswith("ssl-zoo: ")), default=0.0)
    return Ended(codes, "".join(line for _, line in lines), end - said)


def by_lightning(arguments: list[str]) -> Ended:
    """One command, which starts the second process itself; the second's code is not to be seen."""
    return watch([start(arguments, {})])


def by_hand(arguments: list[str]) -> Ended:
    """Two commands, as torchrun and batch systems start them."""
    port = str(find_free_network_port())
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    return watch([start(arguments, {**meet, "LOCAL_RANK": rank, "RANK": rank, "NODE_RANK": "0"}) for rank in "01"])


def by_torchrun(arguments: list[str]) -> Ended:
    """Its own code is 1, whatever those of the two are; it prints them."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        f"--master_port={find_free_network_port()}",
    ]
    ended = watch([subprocess.Popen(
        [*command, "-m", "ssl_zoo", *arguments], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )])  # fmt: skip
    return ended._replace(codes=[int(code) for code in re.findall(r"exitcode\s*: (-?\d+)", ended.errors)])


LAUNCHERS = {"by Lightning": by_lightning, "by hand": by_hand, "by torchrun": by_torchrun}


def sends(hook: str, step: int, name: str, rank: int = -1) -> list[str]:
    return ["--trainer.callbacks=tests.sends_signals.Sends", f"--trainer.callbacks.hook={hook}",
            f"--trainer.callbacks.step={step}", f"--trainer.callbacks.name={name}",
            f"--trainer.callbacks.rank={rank}"]  # fmt: skip


def test_a_bug_in_one_of_several_processes_ends_it_at_once(monkeypatch, capsys):
    """Without waiting for connections to others, who may wait for this one."""

    def fail(args: list[str]) -> None:
        raise RuntimeError("nobody expects this")

    def end(code: int) -> None:
        raise SystemExit(f"at once, {code}")

    monkeypatch.setattr(cli, "run", fail)
    with pytest.raises(RuntimeError, match="nobody expects this"):
        cli.main([])
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit, match="at once, 1"):
        cli.main([])
    assert "RuntimeError: nobody expects this" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["by Lightning", "by hand"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_mistake_in_one_process_ends_both(tmp_path, launcher, rank):
    fails = ["--trainer.callbacks=tests.fails.Fails", "--trainer.callbacks.hook=on_train_batch_start",
             "--trainer.callbacks.step=3", f"--trainer.callbacks.rank={rank}"]  # fmt: skip
    began = time.monotonic()
    ended = LAUNCHERS[launcher](fit(tmp_path, *TWO, *fails))
    sentence = "ssl-zoo: error: Fails._fail failed with RuntimeError: nobody expects this (tests/fails.py, line"
    assert set(ended.codes) == {2} and ended.errors.count(sentence) == 1, ended.errors
    assert "Traceback" not in ended.errors and ended.errors.count("ssl-zoo: error: ") == 1, ended.errors
    assert time.monotonic() - began < 60 + SOON


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_two_processes_that_are_stopped_end_together_and_go_on(tmp_path, launcher, name, code):
    ended = LAUNCHERS[launcher](fit(tmp_path, *TWO, *sends("on_train_batch_end", 5, name)))
    assert set(ended.codes) == {code}, ended.errors
    assert ended.errors.count("ssl-zoo: ") == 1, ended.errors
    assert launcher == "by torchrun" or "Traceback" not in ended.errors  # torchrun has one of its own
    step = int(re.findall(r"Stopped by .* after step (\d+); the checkpoint is", ended.errors)[0])
    assert ended.seconds < SOON
    folder = directory(tmp_path)
    assert learned(folder)["step"] == step >= 5
    alone = ["--trainer.devices=1", "--trainer.strategy=auto", "--trainer.callbacks=null"]
    run(["fit", f"--resume={folder}", f"--trainer.max_steps={step + 2}", *alone])
    assert learned(folder)["step"] == step + 2


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["on_fit_start", "on_sanity_check_start", "on_train_batch_end"])
def test_one_of_two_processes_that_is_sent_a_signal_takes_the_other_along(tmp_path, hook):
    sanity = ["--trainer.num_sanity_val_steps=1"]
    ended = by_lightning(fit(tmp_path, *TWO, *sanity, *sends(hook, 0 if "start" in hook else 5, "SIGTERM", 0)))
    assert ended.codes == [143] and ended.errors.count("ssl-zoo: Stopped by SIGTERM") == 1, ended.errors
    assert ended.seconds < SOON


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(
    ("option", "sentence"),
    [("--trainer.max_steps=0", "nothing would be trained"), ("--data.batch_size=1", "data.batch_size is 1, but")],
)
def test_a_refusal_is_printed_once(tmp_path, launcher, option, sentence):
    ended = LAUNCHERS[launcher](fit(tmp_path, *TWO, option))
    # torchrun ends the others when one has failed, some of them before they can refuse anything themselves.
    assert set(ended.codes) - ({-SIGTERM, 128 + SIGTERM} if launcher == "by torchrun" else set()) == {2}, ended.errors
    assert ended.errors.count(sentence) == 1, ended.errors
    assert ended.seconds < SOON


@contextmanager
def child(code: str) -> Iterator[Any]:
    """A trainer that has started one process of its own."""
    from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

    launcher = _SubprocessScriptLauncher.__new__(_SubprocessScriptLauncher)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    launcher.procs = [process]
    trainer = type("Trainer", (), {"strategy": type("Strategy", (), {"launcher": launcher})})
    yield trainer, process
    process.stdout.close()
    assert not launcher.procs  # Lightning looks there for codes other than 0, and would kill this process


def wait_for_child(ends: str, errors: Path) -> None:
    """Waits, with a child that ends at once, for longer than anybody should."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    processes.PATIENCE_SECONDS = 0.1
    processes.watch_children([subprocess.Popen([sys.executable, "-c", f"import os, sys; {ends}"])])
    time.sleep(60)


@pytest.mark.parametrize(
    ("ends", "code", "sentence"),
    [
        ("sys.exit(130)", 130, "ssl-zoo: Stopped by Ctrl-C before the end; the same command begins again.\n"),
        ("sys.exit(2)", 2, ""),
        ("os.kill(os.getpid(), 9)", 1, "ssl-zoo: error: a process of the run was ended by signal 9, and so is the r"),
    ],
)
def test_a_process_that_waits_for_one_that_has_ended_ends_with_its_code(tmp_path, ends, code, sentence):
    process = get_context("forkserver").Process(target=wait_for_child, args=(ends, tmp_path / "errors"))
    process.start()
    process.join(60)
    said = (tmp_path / "errors").read_text()
    assert process.exitcode == code and said.startswith(sentence) and bool(said) == bool(sentence)


def test_children_are_ended_by_the_signal_or_else_by_force(monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    for code, ends in (("import time; print(flush=True); time.sleep(60)", -15), (deaf, -9)):
        with child(code) as (trainer, process):
            end_children(trainer)
            assert process.returncode == ends
    with child("import sys; print(flush=True); sys.exit(2)") as (trainer, process):
        end_children(trainer, None)
        assert process.returncode == 2


@pytest.mark.slow  # starts two processes each time, and goes on with what they leave
@pytest.mark.parametrize("launcher", ["by Lightning", "by hand"])
@pytest.mark.parametrize("rank", [0, 1])
def test_where_one_of_two_processes_is_killed_the_other_says_so_and_how_to_go_on(tmp_path, launcher, rank):
    ended = LAUNCHERS[launcher](
        fit(tmp_path, *TWO, "--checkpoint_minutes=0", *sends("on_after_backward", 5, "SIGKILL", rank))
    )
    folder = directory(tmp_path)
    assert "Traceback" not in ended.errors and 0 not in ended.codes, ended.errors
    why = "another process of this run is gone (killed, out of memory, or failed as it says), so that this one stopped"
    sentence = f"ssl-zoo: error: {why} at once; the checkpoint is {folder}"
    assert ended.errors.count("ssl-zoo: error: ") == ended.errors.count(sentence) == 1, ended.errors
    alone = ["--trainer.devices=1", "--trainer.strategy=auto", "--trainer.callbacks=null", "--trainer.max_steps=7"]
    run(["fit", f"--resume={folder}", *alone])
    assert learned(folder)["step"] == 7


def lose(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.distributed.barrier()
    if rank == 1:
        os.kill(os.getpid(), SIGKILL)
    try:
        torch.distributed.all_reduce(torch.ones(3))
    except RuntimeError as error:  # what the test looks at
        found = [(lacks_another(error), str(error))]
    for error in (
        RuntimeError("[enforce fail at ../third_party/gloo/gloo/transport/tcp/pair.cc:446] op.preamble.length <= 8"),
        RuntimeError("Broken pipe"),  # to anything else
        ValueError("gloo: Connection closed by peer"),
    ):
        found.append((lacks_another(error), str(error)))
    torch.save(found, f"{folder}/found.pt")
    os._exit(0)  # without waiting for connections


def test_what_is_said_of_a_process_that_was_killed_is_known_from_other_errors_of_a_group(tmp_path):
    context = torch.multiprocessing.start_processes(
        lose, (str(tmp_path),), nprocs=2, join=False, start_method="forkserver"
    )
    for process in context.processes:
        process.join(60)
    (gone, said), *others = torch.load(tmp_path / "found.pt")
    assert gone, said
    assert others and not any(lacks for lacks, _ in others), others
    assert not lacks_another(RuntimeError("gloo: Connection closed by peer"))  # there is no group here


@pytest.mark.parametrize(("rank", "does"), [("0", ["probe"]), ("1", [])])
def test_what_works_in_one_process_is_done_by_the_first_of_several(monkeypatch, rank, does):
    done: list[str] = []
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(cli, "_run_function", lambda name, args: done.append(name))
    cli._run(["probe", "--run=runs/simclr/one"])
    assert done == does


def speak(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    said = [speaks("Both refuse this."), speaks(f"Only {rank} meets this.")]
    torch.distributed.barrier()
    torch.save(said, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_of_two_processes_one_says_what_both_refuse_and_each_what_it_alone_meets(tmp_path):
    torch.multiprocessing.start_processes(speak, (str(tmp_path),), nprocs=2, start_method="forkserver")
    both, alone = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)), strict=True)
    assert sorted(both) == [False, True] and alone == (True, True)
