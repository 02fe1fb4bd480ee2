"""Ctrl-C and SIGTERM, with which batch systems end jobs: noticed at once, obeyed where nothing is lost."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
# Launchers pass on what the terminal has sent to all processes already: both are the same key.
ECHO_SECONDS = 1.0


class Stopped(SystemExit):
    """Ends the command with the exit code that shells expect: 130 after Ctrl-C, 143 after SIGTERM.

    Args:
        number: number of the signal.
        sentence: what was saved, for the user; empty where that is for others to say.
    """

    def __init__(self, number: int, sentence: str = "") -> None:
        super().__init__(128 + number)
        self.name, self.sentence = NAMES[signal.Signals(number)], sentence


class Requests:
    """What this process has been asked by signals; there is one of it, as there is one process.

    Attributes:
        received: the first signal that was postponed and not yet obeyed.
        postponed: True where a signal would do harm, and somebody looks at `received` soon. A second Ctrl-C does not
            wait; a second SIGTERM, which launchers send for good measure, does.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.postponed = False
        self._leaving = False
        self._since = -math.inf
        self._process = os.getpid()
        self._usual: dict[signal.Signals, Any] = {}

    def take(self) -> bool:
        """Takes signals over, again where someone has come in between; True for the first, who gives them back."""
        if threading.current_thread() is not threading.main_thread():
            return False  # Python lets no other thread do it
        if os.getpid() != self._process:
            self._usual = {}  # a forked process has its own
        first = not self._usual
        for number in NAMES:
            usual = signal.signal(number, self._receive)
            if first:
                self._usual[number] = usual
        if first:
            self.received, self.postponed, self._leaving = None, False, False
            self._since, self._process = -math.inf, os.getpid()
        return first

    def give_back(self) -> None:
        """Lets signals do what they did before."""
        for number, usual in self._usual.items():
            signal.signal(number, usual)
        self._usual, self.received, self.postponed = {}, None, False

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """A few lines that a signal may not cut short; it is obeyed when they have run.

        Raises:
            Stopped: if a signal has come in the meantime.
        """
        self.postponed = True
        try:
            yield
        finally:
            self.postponed = False
        number, self.received = self.received, None
        if number is not None:
            raise Stopped(number)

    def leave(self, number: int, sentence: str = "") -> Stopped:
        """The exception to raise; from here on further signals would only disturb."""
        self._leaving = True
        return Stopped(number, sentence)

    @property
    def leaving(self) -> bool:
        """Whether this process ends as it was asked to."""
        return self._leaving

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a loader's worker: it ends with its master, or when that terminates it
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        now = time.monotonic()
        echo, self._since = now - self._since < ECHO_SECONDS, now
        if self._leaving or (echo and self.received is None):
            return
        if self.postponed and self.received is None:
            self.received = number
        elif not self.postponed or (number == signal.SIGINT and not echo):
            raise Stopped(number)


requests = Requests()
