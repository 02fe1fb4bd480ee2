"""Places of a book that stands in several languages: its chapters, and which places must be in one part."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.data.splits import Part

INDEX = "index.html"
# Of 20 places in the book so many test, and so many validate.
TEST, VALIDATION, PLACES = 4, 2, 20


class Paragraph(NamedTuple):
    """A paragraph of one of the languages.

    Attributes:
        text: the text as it is, not empty.
        language: number of its language.
        chapter: number of the chapter it stands in, -1 outside of chapters.
        page: name of the page it stands on, the same in all languages.
        number: place among the page's paragraphs, from 1 on.
        part: the part that it and its translations are in.
    """

    text: str
    language: int
    chapter: int
    page: str
    number: int
    part: Part


def chapters_of(above: dict[str, str | None]) -> tuple[list[str], dict[str, int]]:
    """The names of the chapters, and the number of the chapter that each page belongs to.

    A section says that it is a part of a chapter, a chapter that it is one of the index. What has no sections, such as
    the preface, is no chapter.

    Args:
        above: what each page is a part of; None where it does not say.
    """
    names = sorted({up for up in above.values() if up in above and up != INDEX})
    numbers = {name: number for number, name in enumerate(names)}
    owners = {page: page if up == INDEX else up for page, up in above.items()}
    return [Path(name).stem for name in names], {
        page: numbers[owner] for page, owner in owners.items() if owner in numbers
    }


def parts_of(books: list[dict[str, list[str]]]) -> dict[tuple[str, int], Part]:
    """The part of every place in the book, by page and number.

    Places that have a text in common in some language are one, or its translations would be in several parts.

    Args:
        books: texts by page, of every language, the English ones first.
    """
    leader: dict[tuple[str, int], tuple[str, int]] = {}

    def first_of(place: tuple[str, int]) -> tuple[str, int]:
        while leader.setdefault(place, place) != place:
            place = leader[place]
        return place

    for book in books:
        at: dict[str, tuple[str, int]] = {}
        for page, texts in book.items():
            for number, text in enumerate(texts, start=1):
                here, there = first_of((page, number)), first_of(at.setdefault(text, (page, number)))
                leader[max(here, there)] = min(here, there)
    english = books[0]
    parts: dict[tuple[str, int], Part] = {}
    held: Part
    for place in leader:
        page, number = first_of(place)
        drawn = hashlib.sha256(english[page][number - 1].encode()).digest()
        place_of_twenty = int.from_bytes(drawn[:8], "big") % PLACES
        held = "test" if place_of_twenty < TEST else "validation"
        parts[place] = held if place_of_twenty < TEST + VALIDATION else "train"
    return parts
