"""Labels as users have them, in files and in columns of tables, as names of classes and as their numbers."""

import codecs
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl_zoo.errors import InputError

UNLABELLED = -1
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
# A mark at the beginning of a text says how it is encoded; that of UTF-32 begins like that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def sort_names(names: Iterable[str]) -> list[str]:
    """Names of classes in order: as numbers where all are some, in the order of their letters otherwise."""
    names = list(names)
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)


def class_name(value: Any, where: str) -> str | None:
    """The class that a value stands for: 1, 1.0 and "1" are the same; None, NaN and blanks are no label.

    Args:
        value: a string, a whole number, also as a floating-point number, a truth value, or nothing.
        where: the value stands, for messages.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise InputError(f"{where} has the label {value!r}: make it a word or a whole number.")


def number_classes(names: Iterable[str | None], where: str) -> dict[str, int]:
    """The number of every class, in the order of `sort_names`.

    -1 usually stands for a label that nobody knows; where there are three values or more, it is taken for that, and
    a warning says so. Of two values, it is one.

    Args:
        names: names of the classes of all examples, from `class_name`.
        where: they stand, for messages.
    """
    counts = Counter(name for name in names if name is not None)
    unknown = str(UNLABELLED)
    if unknown in counts and len(counts) > 2:
        count = counts.pop(unknown)
        warnings.warn(f"{where}: {count:,} labels are -1, which is taken for no label.", stacklevel=3)
    return {name: number for number, name in enumerate(sort_names(counts))}


def read_label_lines(path: Path, count: int) -> list[str | None]:
    """The labels in a text file, one a line, without blanks around them; a blank line is no label.

    Args:
        path: path of the file, in UTF-8 or, where its first bytes say so, in UTF-16 or UTF-32. What is none of them is
            read as Windows-1252, with a warning.
        count: number of labels wanted; further blank lines at the end do not count.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"The labels file {path} cannot be read ({error.strerror}): give access to it.") from error
    lines = re.split(r"\r\n|\n|\r", _decode(content, path))
    if not lines[-1]:  # what follows the last line's end
        lines.pop()
    while len(lines) > count and not lines[-1].strip():
        lines.pop()
    return [line.strip() or None for line in lines]


def _decode(content: bytes, path: Path) -> str:
    encoding = next((encoding for mark, encoding in MARKS.items() if content.startswith(mark)), None)
    if encoding is None and 0 in content:  # letters of UTF-16 without a mark: every second byte is zero
        encoding = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:  # a warning says what is read instead
        if encoding is not None:
            raise InputError(f"{path} is damaged at byte {error.start}: save it as UTF-8.") from error
    warnings.warn(f"{path} is not UTF-8 and is read as Windows-1252: save it as UTF-8 to be sure.", stacklevel=4)
    return content.decode("cp1252", errors="replace")  # five bytes mean nothing in it; the warning above stands
