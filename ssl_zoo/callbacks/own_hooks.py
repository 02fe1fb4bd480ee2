"""Callbacks of the user's own: whether Lightning can call what they define."""

import inspect
import warnings

import lightning as L

from ssl_zoo.errors import InputError
from ssl_zoo.own_code import place_of
from ssl_zoo.suggestions import nearest


def check_hooks(callback: L.Callback) -> None:
    """Refuses hooks that take other arguments than Lightning gives, and warns of names that are nearly a hook's.

    Args:
        callback: one of the user's.

    Raises:
        InputError: a hook cannot be called.
    """
    kind = type(callback)
    hooks = {name for name, value in vars(L.Callback).items() if inspect.isfunction(value)}
    for name in dir(kind):
        function = getattr(kind, name)
        if not inspect.isfunction(function) or function is getattr(L.Callback, name, None):
            continue
        if name in hooks:
            given = list(inspect.signature(getattr(L.Callback, name)).parameters)
            try:
                inspect.signature(function).bind(*given)
            except TypeError:
                raise InputError(
                    f"{kind.__name__}.{name} cannot be called as Lightning does ({place_of(kind, name)}): write it "
                    f"with the arguments {', '.join(given)}."
                ) from None
        elif name.startswith("on_") and (meant := nearest(name, hooks, 0.9)):
            warnings.warn(
                f"{kind.__name__}.{name} ({place_of(kind, name)}) is no hook of Lightning's and is never called by it"
                f"{meant}",
                stacklevel=2,
            )
