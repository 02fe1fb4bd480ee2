"""One progress bar for the whole run."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import Progress

from ssl_zoo import metrics
from ssl_zoo.long_work import LongWork, step_bar
from ssl_zoo.optim import total_steps


class StepProgress(ProgressBar):
    """Shows steps done and to do, time passed and left, and the latest loss and probes.

    Lightning's bars start anew every epoch, which says little where an epoch takes a second and schedules are
    fractions of the run. Where the output is no terminal, every validation prints one line instead, and
    predictions one twice a minute.

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
        # Lightning sets `log_every_n_steps` where type checkers cannot see it.
        if trainer.global_step % max(1, trainer.log_every_n_steps) == 0:  # type: ignore[attr-defined]  # set by Lightning
            self._progress.update(self._task, latest=latest(trainer))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints a line where there is no bar to look at."""
        if self._progress is None or trainer.sanity_checking:
            return
        self._progress.update(self._task, latest=latest(trainer))
        if not self._progress.console.is_terminal:
            print(f"step {trainer.global_step}: {latest(trainer)}", flush=True)

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
            self._progress.stop()
            self._progress = None
        if self._work is not None:
            self._work.stop()
            self._work = None


def latest(trainer: L.Trainer) -> str:
    """The latest loss and probe accuracies, these in %, as far as they are known."""
    known = trainer.callback_metrics
    probes = {"kNN": metrics.PROBE_KNN, "linear": metrics.PROBE_LINEAR}
    loss = [f"loss {float(known[name]):.3f}" for name in (f"{metrics.TRAIN}/loss",) if name in known]
    shown = [f"{label} {100 * float(known[name]):.1f} %" for label, name in probes.items() if name in known]
    return "  ".join(loss + shown)
