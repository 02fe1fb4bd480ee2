"""The contract of augmentation: views of a whole batch, drawn on its device, with random numbers of each example's own.

Everything random comes from `ssl_zoo.randomness`, so that what an example becomes depends on its key alone: not on its
neighbours in the batch, on the rank or on torch's global generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import Draws, draw
from ssl_zoo.rebuilding import Rebuildable


class Viewed(NamedTuple):
    """Views of a batch, as an encoder takes them: ``encoder(*viewed)``.

    Attributes:
        inputs: ``(V * B, ...)``, every example's first view, then every example's second view, and so on.
        mask: ``(V * B, T)`` bool, True where a view is real; None when nothing is padded.
    """

    inputs: Tensor
    mask: Tensor | None

    def chunk(self, views: int) -> list[Self]:
        """The first views, the second views, and so on."""
        inputs = self.inputs.chunk(views)
        masks = [None] * views if self.mask is None else self.mask.chunk(views)
        return [type(self)(*each) for each in zip(inputs, masks, strict=True)]


class Views(Rebuildable, nn.Module, ABC):
    """Makes several randomly changed copies ("views") of every example of a batch.

    Attributes:
        views_per_example: how many.
        leaves_alike: whether all views of an example are the example itself, so that only an encoder's dropout makes
            what it gives for them differ.
        takes_partners: whether the second view of an example is made of the field `partner` of its batch, if any.
    """

    views_per_example: int
    takes_partners: bool = False
    leaves_alike: bool = False

    def of(self, batch: Batch, keys: Tensor) -> Viewed:
        """Views of a batch with their masks, for an encoder.

        Args:
            batch: a batch on its device.
            keys: ``(B,)`` int64 from `ssl_zoo.randomness.example_keys`.

        Raises:
            InputError: the batch is padded, which the views would take for content, or has partners that these views
                do not know.
        """
        if batch.fields is not None and "partner" in batch.fields and not self.takes_partners:
            raise InputError(
                f"{type(self).__name__} makes all views of an example of itself, and data.pairs asks for its partner: "
                "set it to false, or take views of ssl_zoo.views.image."
            )
        if batch.mask is not None:
            raise InputError(
                f"{type(self).__name__} makes views of examples of one length, but got a padded batch: set the data's "
                "crop_seconds, and seconds_per_batch to null; for texts take TextViews."
            )
        return Viewed(self(batch.inputs, keys, batch.fields), None)

    def smaller(self, batch: Batch, keys: Tensor) -> list[Viewed]:
        """Further views of smaller sizes, one size after the other; none unless these are multi-crop views.

        Args:
            batch: a batch on its device.
            keys: ``(B,)`` int64 from `ssl_zoo.randomness.example_keys`.
        """
        return []

    def recipes(self) -> list["Views"]:
        """The views that these are put together from, themselves where they are of one kind."""
        return [self]

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


def require_difference(views: Views, encoder: nn.Module) -> None:
    """Raise `InputError` where neither the views nor an encoder's dropout make two copies of an example differ."""
    if views.leaves_alike and not any(isinstance(part, nn.Dropout) and part.p > 0 for part in encoder.modules()):
        raise InputError(
            f"{type(views).__name__} leaves both copies of an example as they are, and {type(encoder).__name__} has no "
            "dropout to make them differ: set the encoder's dropout above 0, or settings of the views such as deletion."
        )


class Transform(nn.Module, ABC):
    """One operator of a recipe: changes a batch at random, each example by random numbers of its own.

    An operator has no state, never writes into its input, draws nothing from torch's global generator and never makes
    the host wait for the device.

    Attributes:
        numbers: random numbers that it needs for an example.
    """

    numbers: int

    @abstractmethod
    def change(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Change a batch.

        Args:
            inputs: ``(B, ...)`` float32.
            draws: ``(B, numbers)``.

        Returns:
            ``(B, ...)`` float32.
        """

    def forward(self, inputs: Tensor, keys: Tensor) -> Tensor:
        """`change` with numbers drawn for it alone.

        Args:
            inputs: raw inputs as in `change`.
            keys: ``(B,)`` int64, one per example.
        """
        return self.change(inputs, draw(keys, self.numbers))


class Start(NamedTuple):
    """Where a recipe begins.

    Attributes:
        inputs: ``(B, ...)`` float32.
        change: what is done in place of the `change` of the recipe's first operator; None for that.
        beside: ``(B, ...)``, what `change` is given of every input besides, as its first argument.
    """

    inputs: Tensor
    change: Callable[[Tensor, Tensor, Draws], Tensor] | None = None
    beside: Tensor | None = None


def two_views(keys: Tensor, first: nn.ModuleList, second: nn.ModuleList, starts: Sequence[Start]) -> Tensor:
    """Both views of every example, with one draw for all of it.

    On a GPU a small batch costs as many microseconds as there are operations, however little each does. The operators
    that both recipes begin with, often all, therefore change a batch of twice the size once.

    Args:
        keys: ``(B,)`` int64.
        first: the `Transform` operators that make the first view, in order.
        second: those that make the second view; one that is the same object as in `first` has draws of its own.
        starts: where the two begin, with the same `change` where the first operators are the same.

    Returns:
        ``(2 * B, ...)`` float32, the first views and then the second ones.
    """
    same = 0
    while same < min(len(first), len(second)) and first[same] is second[same]:
        same += 1
    beginning, *ends = (cast(list[Transform], list(part)) for part in (first[:same], first[same:], second[same:]))
    drawn = _numbers(beginning)
    draws = draw(keys, drawn + max(map(_numbers, ends)), blocks=2)
    if beginning:
        views = _chain(beginning, _joined(starts), draws)
        if not any(ends):
            return views
        starts = [Start(view) for view in views.chunk(2)]
    halves = (slice(len(keys)), slice(len(keys), None))
    rests = [Draws(draws.uniform[half, drawn:], draws.keys[half, drawn:]) for half in halves]
    return torch.cat([_chain(*each) for each in zip(ends, starts, rests, strict=True)])


def _joined(starts: Sequence[Start]) -> Start:
    """Both as one of twice the size."""
    beside = [start.beside for start in starts if start.beside is not None]
    inputs = torch.cat([start.inputs for start in starts])
    return Start(inputs, starts[0].change, torch.cat(beside) if beside else None)


def _numbers(operators: list[Transform]) -> int:
    return sum(operator.numbers for operator in operators)


def _chain(operators: list[Transform], start: Start, draws: Draws) -> Tensor:
    """The operators one after the other, each with the columns of the draws that come next."""
    inputs, used = start.inputs, 0
    for number, operator in enumerate(operators):
        columns = draws.columns(used, used + operator.numbers)
        if number == 0 and start.change is not None and start.beside is not None:
            inputs = start.change(start.beside, inputs, columns)
        else:
            inputs = operator.change(inputs, columns)
        used += operator.numbers
    return inputs


def between(draws: Tensor, low: float, high: float) -> Tensor:
    """Draws from [0, 1) carried to [low, high), in a single operation."""
    return torch.rsub(draws, low, alpha=low - high)  # low - (low - high) * draws


def require_probability(name: str, value: float) -> None:
    """Raise `InputError` unless `value` lies in [0, 1].

    Args:
        name: the argument, for the message.
        value: what the user gave.
    """
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} is {value}; give a number between 0 and 1.")


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise `InputError` when `value` is smaller than `least`.

    Args:
        name: the argument, for the message.
        value: what the user gave.
        least: the smallest value allowed.
    """
    if not value >= least:
        raise InputError(f"{name} is {value}; give a number of at least {least:g}.")


def require_positive(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is greater than 0.

    Args:
        name: the argument, for the message.
        value: what the user gave.
    """
    if not value > 0:
        raise InputError(f"{name} is {value}; give a number above 0.")


def require_range(name: str, value: tuple[float, float], above: float = 0.0) -> None:
    """Raise `InputError` unless `value` is an increasing pair of numbers greater than `above`.

    Args:
        name: the argument, for the message.
        value: what the user gave.
        above: number that both must be greater than.
    """
    low, high = value
    if not above < low <= high:
        raise InputError(f"{name} is [{low}, {high}]; give a smaller and a larger number, both above {above:g}.")
