"""Pretrain, probe and compare self-supervised methods on images, text and speech.

Importing the package is light on purpose: nothing heavy is loaded until something that needs it is asked for.

    >>> import ssl_zoo
    >>> run = ssl_zoo.load("runs/quickstart/20260101-120000-ab12")
    >>> run.embed("digit.png").shape
    (1, 128)
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load"]

# What is offered here and lies, with PyTorch and Lightning, elsewhere: its module, and its name there.
_ELSEWHERE = {"load": ("ssl_zoo.runs.run", "read_run"), "Run": ("ssl_zoo.runs.run", "Run")}


def __getattr__(name: str) -> Any:
    """Imports `load` or `Run` when it is asked for."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _ELSEWHERE[name]
    return getattr(import_module(module), there)
