"""What is in text files and in JSON lines: documents, and what is wrong with those that are none.

Lines end with a line feed, a carriage return or both. Whatever else Unicode calls a separator (U+2028, U+0085, a form
feed) is part of the text.
"""

import codecs
import json
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.data.sources.files import readable
from ssl_zoo.data.text.sources.base import BadText
from ssl_zoo.errors import InputError

BLANK = "has nothing in it that can be seen"
NOT_UTF8 = "is not UTF-8"
UNREADABLE = "cannot be read"
UTF16 = "is UTF-16 or UTF-32 and not UTF-8"
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
PIECE = 2**20  # bytes read at a time
# English in UTF-16 has zeros in one half of its bytes, and what else has so many is no text.
MOST_ZEROS = 0.25


class Entry(NamedTuple):
    """One line of JSON.

    Attributes:
        text: not blank.
        label: what stands under `label`, or None.
        line: number of the line, from 1 on.
    """

    text: str
    label: Any
    line: int


def text_documents(path: Path, document: str) -> Iterator[str | BadText]:
    """The documents of a text file.

    Args:
        path: the file.
        document: what a document is: `file`, `paragraph` or `line`.
    """
    fault = encoding_fault(path)
    if fault is not None:
        yield BadText(readable(path), fault)
        return
    texts: Iterable[str]
    if document == "file":
        texts = ["".join(_lines(path))]
    elif document == "line":
        texts = (line.rstrip("\n") for line in _lines(path))
    else:
        texts = ("".join(lines) for _, lines in groupby(_lines(path), key=lambda line: line.isspace()))
    empty = True
    for text in texts:
        if not is_blank(text):
            empty = False
            yield text
    if empty:
        yield BadText(readable(path), BLANK)


def json_entries(path: Path) -> Iterator[Entry | BadText]:
    """The objects in a file that has one a line; empty lines are skipped.

    Raises:
        InputError: a line is no object with a text.
    """
    name, fault = readable(path), encoding_fault(path)
    if fault is not None:
        yield BadText(name, fault)
        return
    empty = True
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        empty = False
        try:
            entry: Any = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "too many brackets"
            raise InputError(f"{name} has no JSON object in line {number} ({reason}): write one a line.") from error
        text = entry.get("text") if isinstance(entry, dict) else None
        if text is None and isinstance(entry, dict) and "text" in entry:
            text = ""  # a null, as other tools write a text that is missing
        if not isinstance(text, str):
            raise InputError(f'{name} has no text in line {number}: write {{"text": "...", "label": "..."}} a line.')
        if "label" not in entry and "labels" in entry:
            raise InputError(f"{name} has `labels` in line {number}: call it `label`.")
        if is_blank(text):
            yield BadText(f"line {number} of {name}", BLANK)
        else:
            yield Entry(text, entry.get("label"), number)
    if empty:
        yield BadText(name, BLANK)


def is_blank(text: str) -> bool:
    """Whether there is nothing in a text but spaces, control characters and marks without a width."""
    return all(character.isspace() or unicodedata.category(character) in ("Cc", "Cf") for character in text)


def encoding_fault(path: Path) -> str | None:
    """Why the text in a file cannot be read, or None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    zeros = size = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                if size == 0 and piece.startswith(MARKS):
                    return UTF16
                decoder.decode(piece)
                zeros, size = zeros + piece.count(0), size + len(piece)
        decoder.decode(b"", final=True)
    except OSError:  # the caller names the file with this reason
        return UNREADABLE
    except UnicodeDecodeError:  # and with this one
        return NOT_UTF8
    return UTF16 if zeros > MOST_ZEROS * size else None


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file, each with a line feed at its end, without the mark that some editors put in front."""
    with path.open(encoding="utf-8-sig") as file:
        yield from file
