"""Pairs of words that translate each other, from FreeDict's dictionaries in Debian's packages."""

import gzip
import re
from pathlib import Path

from ssl_zoo.data.sources.debian import locate
from ssl_zoo.errors import InputError

INSIDE = Path("usr/share/dictd")
# The dictionaries from English, by the languages of Debian's handbook whose words stand between spaces.
DICTIONARIES = {
    "ar-MA": "ara",
    "de-DE": "deu",
    "es-ES": "spa",
    "fr-FR": "fra",
    "id-ID": "ind",
    "it-IT": "ita",
    "nb-NO": "nor",
    "pt-BR": "por",
    "ru-RU": "rus",
    "sv-SE": "swe",
}
# dict's numbers of base 64, whose digits are in the order of MIME.
DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
NUMBERING = re.compile(r"^\d+\.\s*")
REMARKS = re.compile(r"<[^>]*>|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|/[^/]*/")
WORD = re.compile(r"[^\W\d_]+")


def read_translations(language: str, words: set[str], root: str | None = None) -> dict[str, list[str]]:
    """What single English words are in another language, as far as that is single words.

    Without `root` the package dict-freedict-eng-XXX is looked for where Debian puts it, then in ~/.cache/ssl_zoo, and
    fetched (0.1 to 24 MB) into the latter if need be.

    Args:
        language: a key of `DICTIONARIES`, such as `de-DE`.
        words: English words in lower case; others are not looked up.
        root: folder into which the package was unpacked.

    Returns:
        Translations in lower case by English word, those alone that have one.

    Raises:
        InputError: there is no dictionary of that language, or it cannot be had, or is damaged.
    """
    if language not in DICTIONARIES:
        raise InputError(f"There is no dictionary of {language}: choose among {', '.join(DICTIONARIES)}.")
    name = f"freedict-eng-{DICTIONARIES[language]}"
    folder = locate(f"dict-{name}", INSIDE, root)
    return read_dictionary(folder / f"{name}.index", folder / f"{name}.dict.dz", words)


def read_dictionary(index: Path, entries: Path, words: set[str]) -> dict[str, list[str]]:
    """The same of the two files of any dictionary in dictd's format.

    A line of the index is a head word, where its entry begins in the other file, uncompressed, and how many bytes it
    has. An entry is a line with the head word and how it is spoken, and lines with translations between commas; lines
    that begin with a space are remarks and examples.

    Args:
        index: lines `word TAB offset TAB length`, numbers in base 64.
        entries: the entries, compressed by gzip or dictzip.
        words: head words in lower case; others are not looked up.

    Raises:
        InputError: a file is missing, damaged, or not UTF-8.
    """
    found: dict[str, list[str]] = {}
    try:
        with gzip.open(entries) as file:
            text = file.read()
        for line in index.read_text(encoding="utf-8").splitlines():
            head, *place = line.split("\t")
            if head.lower() not in words:
                continue
            offset, length = map(_number, place[:2])
            if offset + length > len(text):
                raise ValueError(f"{head} lies beyond the end")
            known = found.setdefault(head.lower(), [])
            for translation in translations_in(text[offset : offset + length].decode("utf-8")):
                if translation not in known:
                    known.append(translation)
    except FileNotFoundError as error:
        raise InputError(f"There is no {error.filename}: give the folder of a whole dictionary.") from error
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            f"{entries} or {index.name} is damaged ({error}): delete both and fetch them again."
        ) from error
    return {head: translations for head, translations in found.items() if translations}


def translations_in(entry: str) -> list[str]:
    """The single words among the translations of an entry, in lower case and in order."""
    words = []
    for line in entry.splitlines()[1:]:
        if line[:1].isspace():
            continue
        for part in re.split("[,;]", REMARKS.sub(" ", NUMBERING.sub("", line))):
            if WORD.fullmatch(part.strip()):
                words.append(part.strip().lower())
    return list(dict.fromkeys(words))


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = 64 * value + DIGITS[digit]
    return value
