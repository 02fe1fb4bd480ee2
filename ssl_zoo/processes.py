"""How the processes of one run end: soon, each with its code, and with one of them saying why."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

import lightning as L
import torch.distributed as dist
from lightning.pytorch.utilities import rank_zero_only
from torch.distributed.distributed_c10d import _get_default_store

from ssl_zoo.errors import InputError
from ssl_zoo.launched import number, outlived_by_first
from ssl_zoo.lightning_inside import children_of
from ssl_zoo.signals import NAMES, requests

# What gloo, NCCL and the store where processes meet say where the other end of a connection is gone.
_GONE = re.compile(
    r"(closed|reset) by (remote )?peer|Broken pipe|remote process exited|Connection refused|failed to recv|recvValue",
    re.I,
)

# For the other processes of this machine to end by themselves, and for an answer of the store where processes meet.
PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 1.0  # between two looks at the other processes
BEGAN = time.time()
DAY_SECONDS = 86400.0
CLOCKS_APART_SECONDS = 2.0  # of a disk and of a machine that shares it


class OthersGone(InputError):
    """Another process of the run has ended: by a failure that it says itself, or killed, of which it cannot.

    Args:
        how_to_go_on: what was saved, and the command that goes on.
    """

    def __init__(self, how_to_go_on: str) -> None:
        super().__init__(
            "another process of this run is gone (killed, out of memory, or failed as it says), so that this one "
            f"stopped {how_to_go_on}."
        )


def lacks_another(error: BaseException) -> bool:
    """Whether an error says no more than that another process of this run is gone.

    What gloo and NCCL refuse for another reason, such as tensors of different sizes, is no such error.

    Args:
        error: raised within a run of several processes.
    """
    if not in_group() or not isinstance(error, RuntimeError):
        return False
    of_group = isinstance(error, dist.DistError) or "gloo" in str(error).lower()
    return of_group and _GONE.search(str(error)) is not None


def end_children(trainer: L.Trainer, number: int | None = signal.SIGTERM) -> None:
    """Ends the processes that this one has started for its run, as it is about to end itself.

    They end by themselves where all have agreed to. One that waits for this process in a collective operation cannot.

    Args:
        trainer: trainer of the run.
        number: number of the signal that they are sent; None for none, where they meet with the same failure as this
            one.
    """
    watched = children_of(trainer)
    children = list(watched)
    # Lightning looks there, and kills this process too once a child has ended with another code than 0.
    watched.clear()
    if number is not None:
        for child in children:
            child.send_signal(number)
    end = time.monotonic() + PATIENCE_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:  # it waits for this process, which nothing but this ends
            child.kill()
            child.wait()


def watch_children(children: list[subprocess.Popen[bytes]]) -> None:
    """Ends this process soon after one that it has started for its run has failed, with the code of that one.

    It may wait for the other in a collective operation, or for it to begin, and does not notice signals meanwhile.

    Args:
        children: the processes; who ends this one in another way empties the list.
    """
    Thread(target=_watch, args=(children,), name="children", daemon=True).start()


def _watch(children: list[subprocess.Popen[bytes]]) -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        codes = [child.poll() for child in list(children)]
        if all(code == 0 for code in codes):
            return
        code = next(filter(None, codes), None)
        if code is None:
            continue
        time.sleep(PATIENCE_SECONDS)  # for this process to meet with the same failure, or to be informed of it
        if not children:
            return
        for child in children:
            child.kill()
        name = NAMES[signal.Signals(code - 128)] if code - 128 in NAMES else ""
        if name and not requests.leaving:
            sys.stderr.write(f"ssl-zoo: Stopped by {name} before the end; the same command begins again.\n")
        elif code < 0:
            sys.stderr.write(f"ssl-zoo: error: a process of the run was ended by signal {-code}, and so is the run.\n")
        sys.stderr.flush()
        os._exit(code if code > 0 else 1)


def speaks(sentence: str) -> bool:
    """Whether this process is to say why the command fails.

    All processes refuse the same settings with the same sentence; the first to come says it. Before they have met
    anywhere, the one with number 0 does. Where that one is gone, it has said why, unless it was to outlive this one.

    Args:
        sentence: what is to be said.
    """
    try:
        store = _meeting_place()
        if store is None:
            return rank_zero_only.rank == 0  # type: ignore[attr-defined]  # which Lightning sets
        store.set(_said(), "1")
        return store.add(f"{_said()}/{hashlib.sha256(sentence.encode()).hexdigest()}", 1) == 1
    except RuntimeError:  # the process that held the store has ended, and has said it; one that was killed could not
        return number() == "1" and not _first_left_a_note()


def another_has_spoken() -> bool:
    """Whether a process of this run has said why the command fails, so that this one fails as it lacks the other."""
    try:
        store = _meeting_place()
        return store is not None and bool(store.check([_said()]))
    except RuntimeError:  # the process that held the store has ended, and has said why; one that was killed could not
        return _first_left_a_note()
    except ValueError:  # there is no store any more: the processes have parted
        return False


def _note() -> Path:
    """A file in which the process that holds the store leaves word that it ended by itself; one that is killed cannot.

    The store would be gone by the time that the others look, as they notice nothing before it is.
    """
    where = f"{os.environ.get('MASTER_ADDR', 'here')}-{os.environ.get('MASTER_PORT', '0')}"
    return Path(os.environ.get("SSL_ZOO_CACHE", "~/.cache/ssl_zoo")).expanduser() / "ended" / where


def _leave_note() -> None:
    with suppress(OSError):  # a disk that is full: the others then say that this process is gone, and how to go on
        _note().parent.mkdir(parents=True, exist_ok=True)
        for note in _note().parent.iterdir():
            if note.stat().st_mtime < time.time() - DAY_SECONDS:
                note.unlink()
        _note().touch()


def _first_left_a_note() -> bool:
    """Whether the first process ended by itself, in which case it has said why.

    Lightning starts the others from the first one, which ends after them unless it is killed.
    """
    if outlived_by_first():
        return False
    with suppress(OSError):  # there is none
        return _note().stat().st_mtime >= BEGAN - CLOCKS_APART_SECONDS
    return False


def _said() -> str:
    return f"ssl_zoo/said/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def _meeting_place() -> Any | None:
    """A store that all processes share, as soon as there is one."""
    if not dist.is_available():
        return None
    if dist.is_initialized():
        return _get_default_store()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun has one before its processes begin
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=PATIENCE_SECONDS))
    return None


def in_group() -> bool:
    """Whether this process is one of several that have met."""
    return dist.is_available() and dist.is_initialized()


def leave(code: int, before: Callable[[], None]) -> NoReturn:
    """Ends this process; one of a group at once.

    At the interpreter's end the network that was trained goes, and with it the threads that waited for the other
    processes. Joining those takes until a connection times out, as the others are gone or do the same.

    Args:
        code: exit code for the shell.
        before: what is still to be done in a process that does not end as usual.
    """
    if not in_group():
        sys.exit(code)
    before()
    if number() == "0":
        _leave_note()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
