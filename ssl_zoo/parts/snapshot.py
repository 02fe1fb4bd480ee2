"""A network as it was at some moment: what HuBERT takes the features from that its clusters are made of."""

import torch
from torch import nn

from ssl_zoo.parts.teacher import Teacher


class Snapshot(Teacher):
    """A copy of a module that stands still, works in evaluation mode, and is taken anew by `take` alone.

    Args:
        student: What to copy; the copy starts equal to it.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__(student, 1.0, eval_mode=True)

    def follow(self, progress: float) -> None:
        """Does nothing: it stands still."""

    @torch.no_grad()
    def take(self) -> None:
        """Becomes what the module is now."""
        self.module.load_state_dict(self._student[0].state_dict())
