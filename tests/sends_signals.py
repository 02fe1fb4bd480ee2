"""A callback that stands for the user at the keyboard, or for the batch system."""

import os
import signal
from typing import Any

import lightning as L


class Sends(L.Callback):
    """Sends this process a signal at one place of its run.

    Args:
        hook: of Lightning, where it is sent.
        step: optimizer steps done by then.
        name: of the signal.
        rank: which of several processes is sent it; -1 for all, as a terminal does.
    """

    def __init__(self, hook: str, step: int, name: str, rank: int = -1) -> None:
        self.step, self.number, self.rank, self.sent = step, signal.Signals[name], rank, False
        setattr(self, hook, self._send)

    def _send(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_step == self.step and not self.sent and self.rank in (-1, trainer.global_rank):
            self.sent = True
            os.kill(os.getpid(), self.number)
