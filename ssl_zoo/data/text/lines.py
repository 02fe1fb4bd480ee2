"""The lines of a file as texts, of which every one has to stay in its place."""

import warnings
from pathlib import Path

from ssl_zoo.data.sources.files import readable
from ssl_zoo.data.text.sources.contents import NOT_UTF8, encoding_fault, has_lost_bytes, is_blank
from ssl_zoo.errors import InputError

NAMED = 3  # lines that are named in a warning


def read_lines(path: Path) -> list[str]:
    """The lines of a file; empty ones in place of those without a text or not in UTF-8, the latter with a warning.

    Raises:
        InputError: there is no such file, it is no text at all, or none of its lines is left.
    """
    name = readable(path)
    if not path.is_file():
        raise InputError(f"texts: there is no file {name}: give one with a text in every line.")
    fault = encoding_fault(path)
    if fault is not None and fault != NOT_UTF8:
        raise InputError(f"texts: {name} {fault}: save it as UTF-8, as `iconv -t UTF-8` does.")
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = [line.rstrip("\n") for line in file]
    bad = [number for number, line in enumerate(lines) if has_lost_bytes(line)]
    if bad:
        warn_of_lines(
            f"{name}: left out", bad, "not in UTF-8", "Saved as UTF-8, as `iconv -t UTF-8` does, they are read."
        )
    for number in bad:
        lines[number] = ""
    lines = ["" if is_blank(line) else line for line in lines]
    if not any(lines):
        raise InputError(f"texts: there is no text in {name} that can be translated: give one in every line, in UTF-8.")
    return lines


def on_one_line(text: str) -> str:
    """A text without ends of lines, such as a carriage return, whatever reads it afterwards takes for one."""
    return " ".join(text.splitlines()).strip()


def warn_of_lines(begin: str, numbers: list[int], reason: str, way: str) -> None:
    """Warns of lines of a file.

    Args:
        begin: how the sentence begins.
        numbers: numbers of the lines, from 0 on; the first of them are named, from 1 on.
        reason: what is the matter, in words that follow on "a line, which is".
        way: a sentence on what to do.
    """
    named = ", ".join(str(number + 1) for number in numbers[:NAMED])
    more = f" and {len(numbers) - NAMED:,} more" if len(numbers) > NAMED else ""
    one = len(numbers) == 1
    count = f"1 line, which is {reason}" if one else f"{len(numbers):,} lines, which are {reason}"
    warnings.warn(f"{begin} {count}: line{'' if one else 's'} {named}{more}. {way}", stacklevel=3)
