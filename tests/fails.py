"""A callback that stands for a bug."""

from typing import Any

import lightning as L

from ssl_zoo.errors import InputError


class Fails(L.Callback):
    """Raises an error that nobody expects, on one rank or on all.

    Args:
        hook: Where, by the name of a hook of Lightning.
        rank: Which rank; all when negative.
        step: Optimizer steps before it.
    """

    def __init__(self, hook: str, rank: int = -1, step: int = 0) -> None:
        self.step, self.rank = step, rank
        setattr(self, hook, self._fail)

    def _fail(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_step == self.step and self.rank in (-1, trainer.global_rank):
            raise RuntimeError("nobody expects this")


class Refuses(Fails):
    """Finds a mistake of the user's instead; arguments as there."""

    def _fail(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_step == self.step and self.rank in (-1, trainer.global_rank):
            raise InputError("nobody can go on from here: give something else.")
