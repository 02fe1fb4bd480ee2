"""What is in text files, JSON lines and tables: documents, and what is wrong with those that are none.

Lines end with a line feed, a carriage return or both. Whatever else Unicode calls a separator (U+2028, U+0085, a form
feed) is part of the text.
"""

import codecs
import csv
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


class Columns(NamedTuple):
    """What the columns of a table, or the entries of a JSON object, are called.

    Attributes:
        text: column of the texts.
        label: column of the classes.
    """

    text: str = "text"
    label: str = "label"


USUAL = Columns()


class Entry(NamedTuple):
    """One line of JSON, or one row of a table.

    Attributes:
        text: not blank.
        label: what stands in the column of the classes, or None.
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


def json_entries(path: Path, columns: Columns = USUAL) -> Iterator[Entry | BadText]:
    """The objects in a file that has one a line; empty lines are skipped.

    Args:
        path: the file.
        columns: what text and label are called.

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
            entry: Any = json.loads(line.strip())  # an end of line within a text that is cut short is no news
        except (json.JSONDecodeError, RecursionError) as error:
            reason = "too many brackets"
            if isinstance(error, json.JSONDecodeError):  # some of its messages end as if a place followed
                reason = error.msg.removesuffix(" at").removesuffix(" starting")
            raise InputError(f"{name} has no JSON object in line {number} ({reason}): write one a line.") from error
        text = entry.get(columns.text) if isinstance(entry, dict) else None
        if text is None and isinstance(entry, dict) and columns.text in entry:
            text = ""  # a null, as other tools write a text that is missing
        if not isinstance(text, str):
            known = (
                f" or set --data.source.text_column to one of {', '.join(map(str, entry))}"
                if isinstance(entry, dict) and entry
                else ""
            )
            raise InputError(
                f'{name} has no text in line {number}: write {{"{columns.text}": "...", "{columns.label}": "..."}} a '
                f"line{known and ','}{known}."
            )
        if columns.label not in entry and "labels" in entry:
            raise InputError(
                f"{name} has `labels` in line {number}: call it `label`, or set --data.source.label_column labels."
            )
        if is_blank(text):
            yield BadText(f"line {number} of {name}", BLANK)
        else:
            yield Entry(text, entry.get(columns.label), number)
    if empty:
        yield BadText(name, BLANK)


def table_entries(path: Path, columns: Columns) -> Iterator[Entry | BadText]:
    """The rows of a table whose first line says what its columns are called; a blank label is none.

    Cells are separated by commas, semicolons or tabs, whichever the first line has most of, and may be quoted.

    Args:
        path: the file, .csv or .tsv.
        columns: what the columns of texts and of classes are called, in any capitals; the latter may be missing.

    Raises:
        InputError: there is no column of texts, or a row does not fit.
    """
    name, fault = readable(path), encoding_fault(path)
    if fault is not None:
        yield BadText(name, fault)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        csv.field_size_limit(2**31 - 1)  # the library's is shorter than a chapter
        rows = csv.reader(file, delimiter=max(",;\t", key=first.count))
        try:
            heads = [head.strip() for head in next(rows, [])]
            by_name = {head.casefold(): place for place, head in enumerate(heads)}
            wanted = by_name.get(columns.text.casefold())
            if wanted is None:
                raise InputError(
                    f"{name} has the columns {', '.join(heads)} and none called {columns.text}: set "
                    "--data.source.text_column to that of the texts."
                )
            label = by_name.get(columns.label.casefold())
            empty = True
            for row in rows:
                if not row:
                    continue
                empty = False
                if len(row) != len(heads):
                    raise InputError(
                        f"{name} has {len(row)} cells in line {rows.line_num} but {len(heads)} columns: quote cells "
                        "that hold separators."
                    )
                if is_blank(row[wanted]):
                    yield BadText(f"line {rows.line_num} of {name}", BLANK)
                else:
                    yield Entry(row[wanted], None if label is None else row[label], rows.line_num)
        except csv.Error as error:
            raise InputError(f"{name} has no row of a table in line {rows.line_num} ({error}): mend it.") from error
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
