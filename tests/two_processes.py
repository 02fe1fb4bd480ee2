"""Two processes, started once, that compute as the two ranks of a run whatever tests ask them to.

A start costs seconds, and so does everything that a process does for the first time; a question costs neither.
"""

import gc
import multiprocessing
import os
import pickle
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import find_free_network_port


class TwoProcesses:
    """Started when they are first asked, and again after a failure."""

    def __init__(self) -> None:
        self._ranks: list[tuple[BaseProcess, Connection]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any, seconds: float = 600.0) -> list[Any]:
        """What a function returns on rank 0 and on rank 1.

        Where the ranks meet is in the environment, as a launcher would put it: `run` and Lightning's Trainer find it
        there, and so does `in_group`.

        Args:
            function: of a module that can be imported.
            *arguments: what it is called with on both ranks.
            seconds: that it may take.

        Raises:
            AssertionError: it failed on a rank, whose traceback is the message, or took too long.
        """
        if not self._ranks:
            self._start()
        port = find_free_network_port()
        for _, connection in self._ranks:
            connection.send((port, function, arguments))
        answers: dict[int, Any] = {}
        waiting = {connection: rank for rank, (_, connection) in enumerate(self._ranks)}
        end = time.monotonic() + seconds
        while waiting:
            ready = wait(list(waiting), max(0.0, end - time.monotonic()))
            problem = None if ready else f"{function.__qualname__} is not done on ranks {list(waiting.values())}"
            for connection in ready:
                rank = waiting.pop(connection)
                worked, answers[rank] = _receive(connection)
                if not worked:
                    problem = f"on rank {rank}: {answers[rank]}"
            if problem is not None:
                self.stop()  # the other one may be waiting for it
                raise AssertionError(problem)
        return [answers[rank] for rank in sorted(answers)]

    def stop(self) -> None:
        """Ends them, wherever they are."""
        for process, connection in self._ranks:
            connection.close()
            process.kill()
            process.join()
        self._ranks = []

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        for rank in (0, 1):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, theirs), daemon=True)
            process.start()
            theirs.close()
            self._ranks.append((process, ours))


def in_group(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that computes in a gloo group of the ranks; for `TwoProcesses` to call."""
    dist.init_process_group("gloo")
    try:
        return function(*arguments)
    finally:
        dist.destroy_process_group()


def _receive(connection: Connection) -> tuple[bool, Any]:
    try:
        return pickle.loads(connection.recv_bytes())
    except EOFError:  # whoever asked has read enough: the failure is the answer
        return False, "the process has ended"


def _serve(rank: int, connection: Connection) -> None:
    torch.set_num_threads(1)
    _keep_groups()
    gc.freeze()  # what is imported is never garbage, and to look through it takes long
    gc.enable()  # which `tests.without_garbage` has switched off
    while True:
        try:
            port, function, arguments = connection.recv()
        except EOFError:  # the tests are over
            return
        os.environ.update(
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE="2"
        )
        try:
            answer = True, function(*arguments)
        except BaseException:  # SystemExit, which is how commands end, must not end this process
            answer = False, traceback.format_exc()
        if dist.is_initialized():
            dist.destroy_process_group()
        # Not by torch's own way, which shares memory that goes when this process does.
        connection.send_bytes(pickle.dumps(answer))
        del answer
        gc.collect()


def _keep_groups() -> None:
    """Keeps every process group to the end: the last of its models to go would join gloo's threads while it holds
    Python's lock, which those threads may be waiting for."""
    kept, begin = [], dist.init_process_group

    def begin_and_keep(*args: Any, **settings: Any) -> None:
        begin(*args, **settings)
        kept.append(dist.group.WORLD)

    dist.init_process_group = begin_and_keep
