"""How far work of known size is: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ssl_zoo.whereabouts import duration, whereabouts

REFRESH_SECONDS = 0.5


def step_bar(transient: bool = False) -> Progress:
    """A bar with steps done and to do, time passed and left, and a field `latest` for whatever is news.

    Args:
        transient: whether it vanishes when it is done.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[latest]}"),
    )
    return Progress(*columns, refresh_per_second=1 / REFRESH_SECONDS, transient=transient)


class LongWork:
    """Counts steps while somebody waits for the last of them.

    Args:
        title: what the work is called.
        total: steps in all of it.
        unit: what its steps are called, in the plural.
    """

    def __init__(self, title: str, total: int, unit: str = "steps") -> None:
        self.title, self.total, self.unit = title, total, unit
        self._bar = step_bar(transient=True)
        self._task = self._bar.add_task(title, total=total, latest="")
        self._done, self._began, self._shown = 0, time.monotonic(), time.monotonic()
        self._known = ExitStack()

    def __enter__(self) -> "LongWork":
        """Begins to count."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the terminal back."""
        self.stop()

    def start(self) -> None:
        """Draws the bar, and starts the clock."""
        self._began = self._shown = time.monotonic()
        self._known.enter_context(whereabouts.during(lambda: f"{self.title}, {self._far()}"))
        if self._bar.console.is_terminal:
            self._bar.start()

    def stop(self) -> None:
        """Takes the bar away; may be called twice."""
        self._known.close()
        if self._bar.live.is_started:
            self._bar.stop()

    def advance(self, latest: Callable[[], str] = str) -> None:
        """One more step is done.

        Args:
            latest: says what is being done, and perhaps how well; asked only when it is shown, as reading a number from
                a device makes the device wait.
        """
        self._done += 1
        now = time.monotonic()
        if self._bar.console.is_terminal:
            whereabouts.said()
            self._bar.update(self._task, completed=self._done)
            if now - self._shown >= REFRESH_SECONDS:
                self._shown = now
                self._bar.update(self._task, latest=latest())
        elif whereabouts.is_due():
            left = duration((now - self._began) / self._done * (self.total - self._done))
            said = latest()
            whereabouts.say(f"{self.title}: {self._far()}, {left} left{f' ({said})' if said else ''}")

    def _far(self) -> str:
        return f"{self._done:,} of {self.total:,} {self.unit}"
