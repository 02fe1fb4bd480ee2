"""A terminal of a given width: what a command prints on one, read back."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable

import pytest

# Colours, and the address of a link.
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\]8;[^\x1b]*\x1b\\")


def on_terminal(width: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that appear while something runs in this process with its three streams on a pseudo-terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    received: list[bytes] = []

    def read() -> None:
        while True:
            try:
                found = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                return
            if not found:
                return
            received.append(found)

    before = [os.dup(number) for number in (0, 1, 2)]
    reader = threading.Thread(target=read)
    reader.start()
    with monkeypatch.context() as changed:
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            changed.delenv(name, raising=False)
        changed.setenv("TERM", "xterm-256color")
        try:
            for number in (0, 1, 2):
                os.dup2(slave, number)
            with open(os.dup(slave), "w", encoding="utf-8") as stream:
                changed.setattr(sys, "stdout", stream)
                work()
        finally:
            for number, old in enumerate(before):
                os.dup2(old, number)
                os.close(old)
            os.close(slave)
            reader.join()
            os.close(master)
    return CODES.sub("", b"".join(received).decode()).replace("\r", "").splitlines()
