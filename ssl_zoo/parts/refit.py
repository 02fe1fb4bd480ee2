"""What a method fits to the training data as a whole, between two steps: clusters, means, labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError

# The number of an example travels with its vector in two columns, each of which float32 holds exactly.
SPLIT = 1 << 20


class Refit(NamedTuple):
    """Something that is due at some point of a run, of which a method says what to collect, to fit, and to do with it.

    `ssl_zoo.callbacks.refits` reads the data: every example once, without views and in the same batches on any number
    of ranks, the encoder in evaluation mode.

    Attributes:
        at: part of the run after which it is due, in [0, 1); 0 is before the first step.
        what: what is being made, a noun phrase for whoever waits for it.
        collect: gives of a batch vectors ``(B, R, D)`` and which of them count, ``(B, R)`` bool.
        fit: makes something, such as a tensor, of the vectors that count ``(M, D)`` float32, in the order of the data,
            on the method's device; the same of the same vectors.
        use: takes what `fit` has made; afterwards the method asks for this no more.
        examples: the most examples to read, a random choice that is always the same; None reads all.
        renewed: parameters that `use` draws anew. What the optimizer has summed up of the gradients of the old ones is
            set to zero, as before a first step.
    """

    at: float
    what: str
    collect: Callable[[Batch], tuple[Tensor, Tensor]]
    fit: Callable[[Tensor], Any]
    use: Callable[[Any], None]
    examples: int | None = None
    renewed: tuple[nn.Parameter, ...] = ()


class Count(nn.Module):
    """How many refits are done: a number that checkpoints keep, and that can be read without waiting for a device.

    Attributes:
        value: the number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    def require_some(self, method: str, trains: bool) -> None:
        """Raises `InputError` where a Trainer trains a method that has been fitted to nothing.

        Args:
            method: what the method is called.
            trains: whether this is a training step of a Trainer.
        """
        if trains and self.value == 0:
            raise InputError(
                f"{method} predicts codes that have not been fitted to the data yet: add "
                "ssl_zoo.callbacks.refits.Refits() to the Trainer's callbacks."
            )

    def get_extra_state(self) -> Tensor:
        """The number, for a checkpoint."""
        return torch.tensor(self.value)

    def set_extra_state(self, state: Tensor) -> None:
        """The number of a checkpoint."""
        self.value = int(state)


def as_columns(index: Tensor) -> Tensor:
    """``(B, 2)`` float32, numbers of examples ``(B,)`` int64, below 2**44, as what `Refit.collect` may give."""
    return torch.stack([index // SPLIT, index % SPLIT], dim=1).float()


def from_columns(columns: Tensor) -> Tensor:
    """The numbers ``(M,)`` int64 again, of columns ``(M, 2)`` that `as_columns` has made."""
    return columns[:, 0].long() * SPLIT + columns[:, 1].long()


def some_places(vectors: Tensor, real: Tensor, draws: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most so many places of every example, drawn at random: neighbours say nearly the same.

    Args:
        vectors: ``(B, N, D)``.
        real: ``(B, N)`` bool, which places there are.
        draws: ``(B, N)`` in [0, 1).
        most: places of an example.

    Returns:
        Vectors ``(B, R, D)``, R being `most` or N, and which of them are real, ``(B, R)``.
    """
    places = draws.masked_fill(~real, 2.0).argsort(dim=1, stable=True)[:, :most]
    return torch.take_along_dim(vectors, places[..., None], dim=1), real.gather(1, places)
