"""What a text source is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch

from ssl_zoo.data.splits import Part
from ssl_zoo.rebuilding import Rebuildable

UNLABELLED = -1


class Document(NamedTuple):
    """One text.

    Attributes:
        text: the text as it is, not empty.
        label: number of its class, or -1 when it has none.
        part: the official part that it belongs to; `train` where there are none.
        name: what it is called: a path, say; empty where it has no name.
    """

    text: str
    label: int = UNLABELLED
    part: Part = "train"
    name: str = ""


class BadText(NamedTuple):
    """What should have been a text and cannot be used.

    Attributes:
        name: what it is called in messages: a path, say.
        reason: why, in words that follow on "a file that".
    """

    name: str
    reason: str


def texts_that(count: int, reason: str) -> str:
    """So many texts that cannot be used, for the same reason."""
    return f"1 text, which {reason}" if count == 1 else f"{count:,} texts, each of which {reason}"


class TextSource(Rebuildable, ABC):
    """One collection of texts.

    A source is only a description: it can sit in a checkpoint, and nothing is read before it is asked. Its attributes
    hold plain numbers and strings, so that `torch.load` accepts them.

    Attributes:
        name: what the data is called in tables.
        licence: under which terms the data may be used.
        finer: how to have many short texts where there are a few long ones, as a sentence; empty where there is no way.
    """

    name: str
    licence: str
    finer: str = ""

    def __init_subclass__(cls) -> None:
        """Lets a checkpoint that holds such a source be read with `weights_only`."""
        torch.serialization.add_safe_globals([cls])

    @property
    def classes(self) -> list[str]:
        """Names of the classes in label order; empty without labels. The data may have to be read to know them.

        Raises:
            InputError: as `documents`.
        """
        return []

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the documents do; cheap, so that tokens made once can be found again at every start.

        Raises:
            InputError: the data is missing and cannot be fetched.
        """

    @abstractmethod
    def documents(self) -> Iterator[Document | BadText]:
        """The documents, and what cannot be used, one by one and always in the same order.

        Memory does not grow with their number.

        Raises:
            InputError: the data is missing and cannot be fetched, or damaged.
        """
