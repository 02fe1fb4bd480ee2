"""The contract of augmentation: views of a whole batch, drawn on its device, with random numbers of each example's own.

Everything random comes from `ssl_zoo.randomness`, so that what an example becomes depends on its key alone: not on its
neighbours in the batch, on the rank or on torch's global generator.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ssl_zoo.errors import InputError


class Views(nn.Module, ABC):
    """Makes several randomly changed copies ("views") of every example of a batch.

    Attributes:
        views_per_example: how many.
    """

    views_per_example: int

    @abstractmethod
    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """Augment a batch.

        Args:
            inputs: ``(B, ...)``, as in `ssl_zoo.batch.Batch`.
            keys: ``(B,)`` int64 from `ssl_zoo.randomness.example_keys`.
            fields: `Batch.fields`; views that need none of them ignore it.

        Returns:
            ``(views_per_example * B, ...)``: every example's first view, then every example's second view, and so on,
            so that ``.chunk(views_per_example)`` takes them apart.
        """


def require_probability(name: str, value: float) -> None:
    """Raise `InputError` unless `value` lies in [0, 1].

    Args:
        name: the argument, for the message.
        value: what the user gave.
    """
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} is {value}; give a probability between 0 and 1.")


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise `InputError` when `value` is smaller than `least`.

    Args:
        name: the argument, for the message.
        value: what the user gave.
        least: the smallest value allowed.
    """
    if not value >= least:
        raise InputError(f"{name} is {value}; give a number of at least {least:g}.")


def require_range(name: str, value: tuple[float, float], above: float = 0.0) -> None:
    """Raise `InputError` unless `value` is an increasing pair of numbers greater than `above`.

    Args:
        name: the argument, for the message.
        value: what the user gave.
        above: both numbers must be greater than this.
    """
    low, high = value
    if not above < low <= high:
        raise InputError(f"{name} is [{low}, {high}]; give a smaller and a larger number, both above {above:g}.")
