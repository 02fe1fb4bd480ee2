"""Parts of encoders that have a loss of their own, which training adds to that of whatever the encoder serves."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn


class Auxiliary(nn.Module, ABC):
    """A part of an encoder that keeps what it needs for a loss of its own, from every forward pass with gradient.

    A teacher's passes have none, and neither have those of validation: nothing is added there.
    """

    @abstractmethod
    def forget(self) -> None:
        """Drops what is kept."""

    @abstractmethod
    def collect(self) -> dict[str, Tensor] | None:
        """The loss, as `loss`, and figures that deserve a curve, all scalars; None after no pass with gradient.

        The mean of the loss over all processes is that of the global batch, and so is the mean of its gradient. All
        processes call it together.
        """


def with_auxiliary(module: nn.Module, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The terms of a step, with the losses of all auxiliary parts added to its `loss`.

    Losses of several parts are added; of figures by the same name the largest counts.

    Args:
        module: what is trained, at whatever depth the parts lie.
        compute: gives the terms of a step, scalars by name, of which `loss` is minimised.
    """
    parts = [part for part in module.modules() if isinstance(part, Auxiliary)]
    for part in parts:
        part.forget()
    terms = compute()
    for part in parts:
        found = part.collect()
        part.forget()
        if found is None:
            continue
        terms = {**terms, "loss": terms["loss"] + found.pop("loss")}
        for name, figure in found.items():
            terms[name] = figure.maximum(terms[name]) if name in terms else figure
    return terms
