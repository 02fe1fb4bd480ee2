"""Says what takes so long when data is prepared."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PATIENCE_SECONDS = 2.0

# Takes the present step in a few words, and how much of it is done in [0, 1], or None where nobody knows.
Show = Callable[[str, float | None], None]


@contextmanager
def patient_progress(title: str) -> Iterator[Show]:
    """A line on standard error that appears only when the work takes more than a couple of seconds.

    On a terminal it moves, and goes away when the work is done; elsewhere it is printed once.

    Args:
        title: what is being done.
    """
    columns = (TextColumn(f"{title}: {{task.description}}"), BarColumn(bar_width=24), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(file=sys.stderr), transient=True)
    task = progress.add_task("", total=None)

    def show(step: str, part: float | None) -> None:
        progress.update(task, description=step, total=None if part is None else 1.0, completed=part or 0.0)

    def appear() -> None:
        if progress.console.is_terminal:
            progress.start()
        else:
            print(f"{title}, once for all runs ...", file=sys.stderr, flush=True)

    # A step may keep this thread busy for minutes, so another one watches the clock.
    timer = threading.Timer(PATIENCE_SECONDS, appear)
    timer.start()
    try:
        yield show
    finally:
        timer.cancel()
        timer.join()
        if progress.live.is_started:
            progress.stop()
