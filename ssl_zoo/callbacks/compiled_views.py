"""Views of training batches by a compiled program."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from ssl_zoo.methods.base import Method
from ssl_zoo.views.base import Views


class CompiledViews(L.Callback):
    """Fuses the hundred to two hundred small operations that make views into about two dozen, by `torch.compile`.

    Compiling takes a fraction of a minute when training starts, and C++ or CUDA tools on the machine. Where it fails,
    a warning says so and the views are made one operation at a time. Both ways draw the same numbers; what they make of
    them differs by rounding. Only training batches, which are of one shape, are compiled for.

    Args:
        backend: `torch.compile`'s.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend
        self.forwards: list[CompiledForward] = []  # of every recipe, of which multi-crop views have two

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Puts the compiled program in place of the views' `forward`."""
        assert isinstance(pl_module, Method)
        recipes = [] if pl_module.views is None else pl_module.views.recipes()
        self.forwards = self.forwards or [CompiledForward(views, self.backend) for views in recipes]
        for views, forward in zip(recipes, self.forwards, strict=True):
            # On this object alone, for as long as it trains.
            views.forward = forward  # type: ignore[method-assign]  # other views of the class stay as they are

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Takes it away: pictures and validation have batches of other shapes."""
        assert isinstance(pl_module, Method)
        for views in [] if pl_module.views is None else pl_module.views.recipes():
            del views.forward


class CompiledForward:
    """The `forward` of views as one compiled program, or as it was where that cannot be made.

    Args:
        views: what is compiled.
        backend: `torch.compile`'s.
    """

    def __init__(self, views: Views, backend: str = "inductor") -> None:
        self.plain = views.forward
        self.compiled = torch.compile(views.forward, backend=backend, dynamic=False, fullgraph=True)

    def __call__(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """See `Views.forward`."""
        if self.compiled is not self.plain:
            try:
                return self.compiled(inputs, keys, fields)
            except TorchDynamoException as error:  # the views need no compiler
                reason = str(error).strip().splitlines()[0]
                rank_zero_warn(
                    f"Views are not compiled but made one operation at a time, as torch.compile failed: {reason}"
                )
                self.compiled = self.plain
        return self.plain(inputs, keys, fields)
