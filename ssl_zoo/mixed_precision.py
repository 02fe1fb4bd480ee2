"""Where mixed precision ends: encoders compute in the Trainer's, and losses of what leaves them in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from ssl_zoo.hardware import autocast_type

# Kinds of devices and the types that autocast had there before it was switched off for a loss.
_switched_off: list[tuple[str, torch.dtype]] = []

_MARK = "heads_in_mixed_precision"

Losses = TypeVar("Losses", bound=Callable[..., Any])
Function = TypeVar("Function", bound=Callable[..., Any])


def heads_in_mixed_precision(losses: Losses) -> Losses:
    """Marks a method's `losses` as taking care of precision itself, so that its heads may compute in the Trainer's.

    What is not marked is safe without a thought and somewhat slower: all that happens outside of encoders is float32.
    What is marked calls functions of `ssl_zoo.objectives`, which compute in float32 whatever they are given.

    Args:
        losses: `losses` of a method.
    """
    setattr(losses, _MARK, True)
    return losses


def in_full_precision(function: Function) -> Function:
    """A function of tensors that is computed without autocast, which would multiply colours, say, in bfloat16.

    Args:
        function: takes a tensor first, on whose device it is computed.
    """

    @wraps(function)
    def wrapped(first: Tensor, *others: Any) -> Any:
        with torch.autocast(first.device.type, enabled=False):
            return function(first, *others)

    return cast(Function, wrapped)


@contextmanager
def precision_for(losses: Callable[..., Any], kind: str) -> Iterator[None]:
    """Within, a method's `losses` computes as it should; where nothing is mixed, that is as everything else.

    Args:
        losses: `losses` of a method.
        kind: kind of the device, such as `cuda`.
    """
    low = autocast_type(kind)
    if low is None or getattr(losses, _MARK, False):
        yield
        return
    _switched_off.append((kind, low))
    try:
        with torch.autocast(kind, enabled=False):
            yield
    finally:
        _switched_off.pop()


def in_own_precision(function: Function) -> Function:
    """An encoder's function that computes in the Trainer's precision and gives float32 to a loss that needs it.

    Args:
        function: a function of an encoder.
    """

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not _switched_off:
            return function(*args, **kwargs)
        kind, low = _switched_off.pop()  # what it calls within the encoder is no loss
        try:
            with torch.autocast(kind, dtype=low):
                made = function(*args, **kwargs)
        finally:
            _switched_off.append((kind, low))
        return _in_float32(made, low)

    return wrapped  # type: ignore[return-value]  # it is called as the function is


def _in_float32(made: Any, low: torch.dtype) -> Any:
    if isinstance(made, Tensor):
        return made.float() if made.dtype == low else made
    if isinstance(made, tuple):
        parts = [_in_float32(part, low) for part in made]
        return type(made)(*parts) if hasattr(made, "_fields") else tuple(parts)
    return made
