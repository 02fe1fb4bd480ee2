"""Where a long command is: said at least every half minute, whatever it is doing and wherever its output goes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities import rank_zero_only

# The longest silence, and how often it is looked for; together no more than half a minute.
LINE_SECONDS = 25.0
LOOK_SECONDS = 1.0


class Whereabouts:
    """What the command is doing, from the outermost work to the innermost; there is one of it, as there is one command.

    A line is printed when nothing has been said for a while, by a thread: what takes long may be a single call.
    """

    def __init__(self) -> None:
        self._doing: list[tuple[Callable[[], str], float]] = []
        self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def during(self, what: str | Callable[[], str]) -> Iterator[None]:
        """Within, this is what the command is doing.

        Args:
            what: A noun phrase, or what gives one when it is needed; asked from another thread, it must read nothing
                from a device.
        """
        first = not self._doing
        self._doing.append(((lambda: what) if isinstance(what, str) else what, time.monotonic()))
        if first:
            self._start()
        depth = len(self._doing)
        try:
            yield
        finally:
            del self._doing[depth - 1 :]
            if first:
                self._stop()

    def said(self) -> None:
        """Something else has just said where the command is, or is showing it all the time."""
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether nothing has been said for so long that it is time to."""
        return time.monotonic() - self._last >= LINE_SECONDS

    def say(self, line: str) -> None:
        """Prints a line, on the first process alone."""
        self.said()
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # which Lightning sets
            print(line, flush=True)

    def _start(self) -> None:
        self._ended = threading.Event()
        self.said()
        self._thread = threading.Thread(target=self._watch, args=(self._ended,), name="whereabouts", daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(LOOK_SECONDS):
            doing = list(self._doing)
            if doing and self.is_due():
                phrases = [what() for what, _ in doing[1:] or doing]
                self.say(f"{', '.join(filter(None, phrases))} ({duration(time.monotonic() - doing[-1][1])} so far)")


whereabouts = Whereabouts()


def duration(seconds: float) -> str:
    """A time in words, such as `40 s`, `5 min` or `3.2 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
