"""What is in text files, JSON lines and tables: documents, and what is wrong with those that are none.

Lines end with a line feed, a carriage return or both. Whatever else Unicode calls a separator (U+2028, U+0085, a form
feed) is part of the text.
"""

import codecs
import csv
import json
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.data.sources.files import readable
from ssl_zoo.data.text.sources.base import BadText
from ssl_zoo.errors import InputError

TABLES = (".csv", ".tsv")
BLANK = "has nothing in it that can be seen"
NOT_UTF8 = "is not UTF-8"
UNREADABLE = "cannot be read"
UTF16 = "is UTF-16 or UTF-32 and not UTF-8"
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
PIECE = 2**20  # bytes read at a time
ROWS_LOOKED_AT = 1000  # of a table without labels, for columns whose values come again and again, as classes do
# English in UTF-16 has zeros in one half of its bytes, and what else has so many is no text.
MOST_ZEROS = 0.25
# What JSON may have in place of a text.
KINDS: dict[type, str] = {list: "a list", dict: "an object", bool: "a truth value"}


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
            if number == 1 and line.strip() in ("[", "[{", "{"):
                every = "." if line.strip() == "{" else ".[]"
                raise InputError(
                    f"{name} is JSON over several lines: write one object a line, as `jq -c '{every}'` does."
                ) from error
            reason = "too many brackets"
            if isinstance(error, json.JSONDecodeError):  # some of its messages end as if a place followed
                reason = error.msg.removesuffix(" at").removesuffix(" starting")
            raise InputError(f"{name} has no JSON object in line {number} ({reason}): write one a line.") from error
        text = entry.get(columns.text) if isinstance(entry, dict) else None
        if text is None and isinstance(entry, dict) and columns.text in entry:
            text = ""  # a null, as other tools write a text that is missing
        if not isinstance(text, str):
            raise InputError(_without_text(name, number, entry, columns))
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


def _without_text(name: str, number: int, entry: Any, columns: Columns) -> str:
    """The sentence that refuses a line of JSON without a text."""
    if _holds_objects(entry):
        return f"{name} has a list of objects in line {number}: write one object a line, as `jq -c '.[]'` does."
    if isinstance(entry, dict) and columns.text not in entry:
        for key in filter(lambda key: _holds_objects(entry[key]), entry):
            return (
                f"{name} has its objects in a list called {key} in line {number}: write one object a line, as "
                f"`jq -c '.[{json.dumps(key, ensure_ascii=False)}][]'` does."
            )
    texts = [key for key, value in entry.items() if isinstance(value, str)] if isinstance(entry, dict) else []
    known = f", or set --data.source.text_column to one of {', '.join(texts)}" if texts else ""
    if isinstance(entry, dict) and columns.text in entry:
        kind = KINDS.get(type(entry[columns.text]), "a number")
        return f"{name} has {kind} as `{columns.text}` in line {number}: make it one text in quotes{known}."
    form = f'{{"{columns.text}": "...", "{columns.label}": "..."}}'
    return f"{name} has no text in line {number}: write {form} a line{known}."


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


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
        rows = csv.reader(file, delimiter=_separator(first))
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
            others = {place: set[str]() for place in range(len(heads)) if label is None and place != wanted}
            looked_at = 0
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
                if looked_at < ROWS_LOOKED_AT:
                    looked_at += 1
                    for place, values in others.items():
                        values.add(row[place])
                if is_blank(row[wanted]):
                    yield BadText(f"line {rows.line_num} of {name}", BLANK)
                else:
                    yield Entry(row[wanted], None if label is None else row[label], rows.line_num)
            classes = [heads[place] for place, values in others.items() if 1 < len(values) <= looked_at / 2]
            if classes:
                warnings.warn(
                    f"{name} has no column called {columns.label}; where {' or '.join(classes)} holds classes, set "
                    "--data.source.label_column to that.",
                    stacklevel=2,
                )
        except csv.Error as error:
            raise InputError(f"{name} has no row of a table in line {rows.line_num} ({error}): mend it.") from error
    if empty:
        yield BadText(name, BLANK)


def columns_of(path: Path) -> list[str]:
    """What the columns of a table, or the entries of the first JSON object, are called; of a file that can be read."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
    if path.suffix.lower() in TABLES:
        return [head.strip() for head in next(csv.reader([first], delimiter=_separator(first)), [])]
    return list(json.loads(first))


def _separator(first: str) -> str:
    """What cells are separated by, going by the first line of a table."""
    return max(",;\t", key=first.count)


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


def has_lost_bytes(line: str) -> bool:
    """Whether a line, read with `surrogateescape`, has bytes that are not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for character in line)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file, each with a line feed at its end, without the mark that some editors put in front."""
    with path.open(encoding="utf-8-sig") as file:
        yield from file
