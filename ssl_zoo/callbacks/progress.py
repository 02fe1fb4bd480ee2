"""One progress bar for the whole run, and lines where there is no terminal."""

import time
from contextlib import ExitStack
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import Progress

from ssl_zoo import metrics
from ssl_zoo.long_work import LongWork, step_bar
from ssl_zoo.optim import total_steps
from ssl_zoo.whereabouts import duration, whereabouts


class StepProgress(ProgressBar):
    """Shows steps done and to do, time passed and left, and the latest loss and probes.

    Lightning's bars start anew every epoch, which says little where an epoch takes a second and schedules are
    fractions of the run. Where the output is no terminal, `StepLines` says it instead, and predictions print a line
    twice a minute.

    Args:
        title: what the run is called; the method's name when left out.
    """

    def __init__(self, title: str | None = None) -> None:
        super().__init__()
        self.title = title
        self.enabled = True
        self._progress: Progress | None = None
        self._work: LongWork | None = None

    def disable(self) -> None:
        """Shows nothing from now on; Lightning calls it on all ranks but the first."""
        self.enabled = False

    def enable(self) -> None:
        """Shows again."""
        self.enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the bar."""
        if not self.enabled:
            return
        self._progress = step_bar()
        self._task = self._progress.add_task(
            self.title or type(pl_module).__name__, total=total_steps(trainer), latest="", completed=trainer.global_step
        )
        if self._progress.console.is_terminal:
            self._progress.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar; the numbers change as often as they are logged, because reading them makes a device wait."""
        if self._progress is None:
            return
        self._progress.update(self._task, completed=trainer.global_step)
        if self._progress.console.is_terminal:
            whereabouts.said()
        # Lightning sets `log_every_n_steps` where type checkers cannot see it.
        if trainer.global_step % max(1, trainer.log_every_n_steps) == 0:  # type: ignore[attr-defined]  # set by Lightning
            self._progress.update(self._task, latest=latest(trainer))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shows what validation has found."""
        if self._progress is not None and not trainer.sanity_checking:
            self._progress.update(self._task, latest=latest(trainer))

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws a bar, or begins to print a line now and then: a language model may write for hours."""
        if self.enabled:
            self._work = LongWork("predict", int(sum(trainer.num_predict_batches)), "batches")
            self._work.start()

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Moves it."""
        if self._work is not None:
            self._work.advance()

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes it away before anybody prints what was predicted."""
        self._stop()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the finished bar standing."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Gives the terminal back."""
        self._stop()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints above the bar."""
        console = self._progress.console if self._progress is not None else Console()
        console.print(*args, **kwargs)

    def _stop(self) -> None:
        if self._progress is not None:
            if self._progress.live.is_started:  # one that was never shown would print an empty line
                self._progress.stop()
            self._progress = None
        if self._work is not None:
            self._work.stop()
            self._work = None


class StepLines(L.Callback):
    """Says in lines how far a run is, where there is no bar to look at: after every validation, and twice a minute.

    Args:
        title: What is trained, at the head of every line; nothing when left out.
    """

    def __init__(self, title: str = "") -> None:
        self.title = f"{title}: " if title else ""
        self._known = ExitStack()
        self._where = ""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """From here on it is known what is done, however long it takes."""
        self._known.close()  # a Trainer may be used again after a failure
        self._where = "before the first step"
        self._known.enter_context(whereabouts.during(lambda: self._where))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._began, self._first, self._total = time.monotonic(), trainer.global_step, total_steps(trainer)
        progress_bar = trainer.progress_bar_callback
        self._has_bar = progress_bar is not None and Console().is_terminal

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Says it if it is time to; reading the numbers makes a device wait."""
        step = trainer.global_step
        self._where = f"step {step:,} of {self._total:,}"
        if self._has_bar or not whereabouts.is_due():
            return
        done = step - self._first
        left = (time.monotonic() - self._began) / done * (self._total - step) if done else 0.0
        remaining = f", {duration(left)} left" if done else ""
        whereabouts.say(f"{self.title}{self._where}{remaining}: {latest(trainer)}".removesuffix(": "))

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Knows where in a validation it is."""
        self._where = f"validation after step {trainer.global_step:,}, batch {batch_idx + 1:,}"

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says what validation has found."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not self._has_bar:
            whereabouts.say(f"{self.title}step {trainer.global_step}: {latest(trainer)}".removesuffix(": "))

    def on_test_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Knows where in a test it is."""
        self._where = f"test, batch {batch_idx + 1:,}"

    def on_predict_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Knows where in a prediction it is."""
        self._where = f"prediction, batch {batch_idx + 1:,}"

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Is done."""
        self._known.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Is done."""
        self._known.close()


def latest(trainer: L.Trainer) -> str:
    """The latest loss and probe accuracies, these in %, as far as they are known."""
    known = trainer.callback_metrics
    probes = {"kNN": metrics.PROBE_KNN, "linear": metrics.PROBE_LINEAR}
    loss = [f"loss {float(known[name]):.3f}" for name in (f"{metrics.TRAIN}/loss",) if name in known]
    shown = [f"{label} {100 * float(known[name]):.1f} %" for label, name in probes.items() if name in known]
    return "  ".join(loss + shown)
