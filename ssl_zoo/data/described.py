"""Data that is described and not read: a run is loaded also where the files it was trained on are not."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ssl_zoo.errors import InputError

# What a sentence about missing files ends with.
MOVED = "give --root where a run's data has moved"

_WITHOUT_FILES = ContextVar("without_files", default=False)


@contextmanager
def without_files() -> Iterator[None]:
    """Within, a source may be made although its files are not there; it refuses only when it is to read them."""
    token = _WITHOUT_FILES.set(True)
    try:
        yield
    finally:
        _WITHOUT_FILES.reset(token)


def require_files(there: bool, sentence: str) -> None:
    """What the constructor of a source says where its files are not there; a typo is answered before anything is read.

    Args:
        there: whether they are.
        sentence: what is missing and what to do.

    Raises:
        InputError: they are not, and the source is made to be read.
    """
    if not there and not _WITHOUT_FILES.get():
        raise InputError(sentence)
