"""Warnings about data that is read once and used often: kept with what was made of it, to be given at every use."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Within, what would be shown to the user is collected instead, each sentence once; the list is full at the end.

    Warnings of other kinds, which are for developers, are given afterwards, as they would have been.
    """
    sentences: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # each is collected, also one that was shown before
        yield sentences
    for warning in caught:
        if warning.category is not UserWarning:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif str(warning.message) not in sentences:
            sentences.append(str(warning.message))
