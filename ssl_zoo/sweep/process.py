"""Other processes, watched until they end."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from ssl_zoo.signals import Stopped, requests

POLL_SECONDS = 0.5
# Enough to save a checkpoint.
GRACE_SECONDS = 120.0


def run_logged(command: list[str], log: Path, watch: Callable[[], None]) -> int:
    """Runs a command, its output added to a file; returns its exit code.

    On Ctrl-C and SIGTERM the command is interrupted too, and has time to save what it has; a second one ends it.

    Args:
        command: program and arguments.
        log: file to add to; its folder is made.
        watch: called twice a second.

    Raises:
        Stopped: as it came, once the command has ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        # In a session of its own a terminal's Ctrl-C reaches it once, from here, with all processes it has started.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while True:
                try:
                    return process.wait(POLL_SECONDS)
                except subprocess.TimeoutExpired:  # still at work, which is no fault
                    with requests.uninterrupted():  # a log that is being read would be left open
                        watch()
        except BaseException:  # Ctrl-C too: the command must not outlive whoever watches it
            _stop(process)
            raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        _send(process, signal.SIGINT)
        process.wait(GRACE_SECONDS)
    except (Stopped, subprocess.TimeoutExpired):  # asked twice, or deaf
        _send(process, signal.SIGKILL)
        process.wait()


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


def last_line(log: Path) -> str:
    """The last line of a log that says something; empty where there is none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").splitlines()  # the first character may be cut in two
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
