"""What a source of pairs is, texts with their translations, and one that reads a file."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.data.described import require_files
from ssl_zoo.data.sources.files import readable, resolved
from ssl_zoo.data.splits import Part
from ssl_zoo.data.text.sources.base import BadText, Document, TextSource
from ssl_zoo.data.text.sources.contents import BLANK, NOT_UTF8, encoding_fault, has_lost_bytes, is_blank

NO_TAB = "has no tab between a text and its translation"


class Pair(NamedTuple):
    """A text, and what is to be written of it.

    Attributes:
        source: what is read, not blank.
        target: what is written, such as the same in another language, not blank.
        part: the official part that it belongs to; `train` where there are none.
        name: what it is called; empty where it has no name.
    """

    source: str
    target: str
    part: Part = "train"
    name: str = ""


class PairSource(TextSource, ABC):
    """A collection of texts with their translations.

    Of its documents every other one is read, from the first on, and the one after it is its translation: tokenizers,
    the cache and the split see texts as of any other source.
    """

    @abstractmethod
    def pairs(self) -> Iterator[Pair | BadText]:
        """The pairs, and what cannot be used, in the same order always; errors as of `documents`."""

    def documents(self) -> Iterator[Document | BadText]:
        """Every pair's text, and behind it its translation."""
        for pair in self.pairs():
            if isinstance(pair, BadText):
                yield pair
                continue
            for text in (pair.source, pair.target):
                yield Document(text, part=pair.part, name=pair.name)


class ParallelTexts(PairSource):
    """Your own pairs: a file with a text, a tab and its translation in every line.

    `paste one.txt other.txt` makes it of two files whose lines belong to each other. What stands behind a second tab,
    such as an author's name, is not read. A line that has no tab, one blank text, or bytes that are not UTF-8 is a bad
    one, of which the data's `on_error` says what it does.

    Args:
        root: the file, in UTF-8.

    Raises:
        InputError: there is no such file.
    """

    licence = "yours"

    def __init__(self, root: str | Path) -> None:
        self.root = resolved(root)
        self.name = Path(self.root).stem
        require_files(Path(self.root).is_file(), f"There is no file {self.root}: give one with a pair in every line.")

    def fingerprint(self) -> str:
        """A checksum of the file."""
        with Path(self.root).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def pairs(self) -> Iterator[Pair | BadText]:
        """The lines."""
        path = Path(self.root)
        fault = encoding_fault(path)
        if fault is not None and fault != NOT_UTF8:
            yield BadText(readable(path), fault)
            return
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            for number, line in enumerate(_pasted(file), start=1):
                name = f"line {number} of {readable(path)}"
                if line.isspace():
                    continue
                if fault and has_lost_bytes(line):
                    yield BadText(name, NOT_UTF8)
                    continue
                if "\t" not in line:
                    yield BadText(name, NO_TAB)
                    continue
                source, target = (text.strip("\r\n\ufeff") for text in line.split("\t")[:2])
                if is_blank(source) or is_blank(target):
                    yield BadText(name, BLANK)
                else:
                    yield Pair(source, target, name=name)


def _pasted(file: Iterable[str]) -> Iterator[str]:
    """The lines of a file of pairs, each with its end.

    `paste` of two files with the line ends of Windows leaves the carriage return of the first one's before the tab,
    where it ends no line; the marks that some editors put in front of a file are then in the second one's text, too.

    Args:
        file: the lines, with the ends that they have in the file.
    """
    held = ""
    for line in file:
        if held and ("\t" in held or not line.startswith("\t")):
            yield held
            held = ""
        held += line
        if not line.endswith("\r"):
            yield held
            held = ""
    if held:
        yield held
