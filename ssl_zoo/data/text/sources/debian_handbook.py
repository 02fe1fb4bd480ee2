"""The Debian Administrator's Handbook in its languages, from Debian's package."""

import hashlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.splits import Part
from ssl_zoo.data.text.sources.base import UNLABELLED, BadText, Document, TextSource
from ssl_zoo.data.text.sources.handbook_places import Paragraph, chapters_of, parts_of
from ssl_zoo.data.text.sources.pairs import Pair, PairSource
from ssl_zoo.errors import InputError

PACKAGE = "debian-handbook"
INSIDE = Path("usr/share/doc/debian-handbook/html")
ENGLISH = "en-US"
# Those of which more than a third is translated, by number of their paragraphs; the others are mostly English.
LANGUAGES = [
    *("en-US", "nb-NO", "ca-ES", "pt-BR", "de-DE", "id-ID", "es-ES", "it-IT", "zh-CN", "fr-FR", "ja-JP", "ar-MA"),
    *("fa-IR", "ru-RU", "sv-SE", "zh-TW"),
]
# Paragraphs of which a larger part of the words is the same were not translated, but corrected.
MOST_ALIKE = 0.6
# Of the pages.
TEST, VALIDATION = 0.15, 0.1


class DebianHandbook(TextSource):
    """Paragraphs of a technical book in 16 languages (33,000 of them, 11 MB), labelled by language or by chapter.

    Raphaël Hertzog and Roland Mas, The Debian Administrator's Handbook, edition 11 in the package of Debian 12. What a
    language has not translated stands there in English, and is left out, as are paragraphs that a language has twice.
    There is no official test set, and parts drawn at random have a paragraph in one and its translation in another.
    With `together` a paragraph and its translations, which stand at the same place of the same page, are in one part,
    and so are places that have the same text in some language. Without `root` it is looked for where Debian's package
    debian-handbook puts it, then in ~/.cache/ssl_zoo, and fetched (34 MB) into the latter if need be.

    Args:
        languages: languages to read, as the package names their folders.
        root: folder into which the package was unpacked.
        labels: `language`, or `chapter` for the chapter that a paragraph stands in, which every language has.
        together: keep a paragraph and its translations in one part: a fifth of them tests and a tenth validates. A page
            with another number of paragraphs than the English one is left out then.

    Raises:
        InputError: no language is named, one twice, or `root` lacks one.
    """

    licence = "GPL-2+ or CC-BY-SA-3.0"

    def __init__(
        self,
        languages: list[str] = LANGUAGES,
        root: str | Path | None = None,
        labels: Literal["language", "chapter"] = "language",
        together: bool = False,
    ) -> None:
        if labels not in ("language", "chapter"):
            raise InputError(f"labels is {labels}: choose language or chapter.")
        if not languages or len(set(languages)) < len(languages):
            raise InputError(f"languages is {languages}: name some, each once.")
        self.languages, self.root = list(languages), None if root is None else resolved(root)
        self.labels, self.together = labels, together
        self.name = "Debian's handbook" if labels == "language" else "Chapters of Debian's handbook"
        if self.root is not None:
            self._folder()

    @property
    def classes(self) -> list[str]:
        """The languages, or the chapters by the names of their pages."""
        return self.languages if self.labels == "language" else chapters_of(_above(self._folder() / ENGLISH))[0]

    def fingerprint(self) -> str:
        """A checksum of the pages, and what is read of them how."""
        asked = [*self.languages, *([] if self.labels == "language" else [self.labels])]
        digest, folder = hashlib.sha256("\n".join([*asked, *["together"] * self.together]).encode()), self._folder()
        for path in (path for language in [ENGLISH, *self.languages] for path in _pages(folder / language)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document | BadText]:
        """The paragraphs language by language, in the order of the pages' names."""
        for found in self.paragraphs():
            if isinstance(found, BadText):
                yield found
                continue
            label = found.language if self.labels == "language" else found.chapter
            part: Part = found.part if self.together else "train"
            name = f"{self.languages[found.language]}/{found.page}, paragraph {found.number}"
            yield Document(found.text, label, part, name)

    def paragraphs(self) -> Iterator[Paragraph | BadText]:
        """The same with all that is known of them, and the pages that `together` leaves out.

        Raises:
            InputError: as `documents`.
        """
        folder = self._folder()
        _, chapter_of = chapters_of(_above(folder / ENGLISH))
        books = {language: _texts(folder / language) for language in dict.fromkeys([ENGLISH, *self.languages])}
        english = {text for texts in books[ENGLISH].values() for text in texts}
        sizes = {page: len(texts) for page, texts in books[ENGLISH].items()}
        kept = {
            language: {
                page: texts for page, texts in book.items() if not self.together or len(texts) == sizes.get(page)
            }
            for language, book in books.items()
        }
        parts = parts_of(list(kept.values())) if self.together else {}
        for label, language in enumerate(self.languages):
            seen = set() if language == ENGLISH else set(english)
            for page in (page for page in books[language] if page not in kept[language]):
                yield BadText(f"{language}/{page}", "has another number of paragraphs than the English page")
            for page, texts in kept[language].items():
                for number, text in enumerate(texts, start=1):
                    if text not in seen:
                        seen.add(text)
                        chapter = chapter_of.get(page, UNLABELLED)
                        yield Paragraph(text, label, chapter, page, number, parts.get((page, number), "train"))

    def _folder(self) -> Path:
        folder = locate(PACKAGE, INSIDE, self.root)
        for language in [*self.languages, ENGLISH]:
            if not _pages(folder / language):
                known = ", ".join(sorted(path.parent.name for path in folder.glob("*/index.html"))) or "none"
                raise InputError(f"languages has {language}, but {folder} has {known}: choose among these.")
        return folder


class TranslatedHandbook(PairSource):
    """Paragraphs of the handbook beside their translations, some 2,000 for every language.

    Pages that have as many paragraphs in both languages are put side by side, paragraph by paragraph; pairs that say
    the same in the same words, or nearly so, are left out. Whole pages are held out for validation and testing, the
    same in every language, and a pair with a text that stands on pages of several parts belongs to the first of them or
    to none: no text of a test pair is trained on, in any language.

    The data, and where it is looked for, are those of `DebianHandbook`.

    Args:
        sources: languages to translate from, as the package names their folders.
        target: language to translate into.
        root: folder into which the package was unpacked.

    Raises:
        InputError: no language is named, one twice, or `root` lacks one.
    """

    licence = DebianHandbook.licence

    def __init__(
        self,
        sources: list[str] = ["fr-FR"],  # noqa: B006  # never changed, and --help shows it
        target: str = ENGLISH,
        root: str | Path | None = None,
    ) -> None:
        if not sources or len({*sources, target}) <= len(sources):
            raise InputError(f"sources is {sources} and target {target}: name languages, each once.")
        self.sources, self.target, self.root = list(sources), target, None if root is None else resolved(root)
        self.name = f"Debian's handbook into {target}"
        self._book()  # which looks into `root`

    def fingerprint(self) -> str:
        """A checksum of the pages, which languages are read, and what is made of them."""
        made = f"{MOST_ALIKE} {TEST} {VALIDATION}"
        return hashlib.sha256(f"{self._book().fingerprint()} {made}".encode()).hexdigest()

    def pairs(self) -> Iterator[Pair]:
        """The pairs language by language, in the order of the pages' names."""
        folder = self._book()._folder()
        parts: dict[str, Part] = {}  # of every text, that of its first page
        for language in self.sources:
            for page in _pages(folder / self.target):
                path, part = folder / language / page.name, _part(page.name)
                texts, targets = (read_paragraphs(each) if each.exists() else [] for each in (path, page))
                if len(texts) != len(targets):
                    continue
                for number, (text, target) in enumerate(zip(texts, targets, strict=True), start=1):
                    first = {parts.setdefault(each, part) for each in (text, target)}
                    if first == {part} and not _alike(text, target):
                        yield Pair(text, target, part, f"{language}/{page.name}, paragraph {number}")

    def _book(self) -> DebianHandbook:
        return DebianHandbook([*self.sources, self.target], self.root)


def _part(page: str) -> Part:
    """The part that a page belongs to in all languages: by its name, so that no edition changes it."""
    place = int.from_bytes(hashlib.sha256(page.encode()).digest()[:4]) / 2**32
    return "test" if place < TEST else "validation" if place < TEST + VALIDATION else "train"


def _alike(one: str, other: str) -> bool:
    """Whether so many words of the shorter text are in the longer one that it is hardly a translation."""
    words = [set(text.lower().split()) for text in (one, other)]
    return len(words[0] & words[1]) > MOST_ALIKE * min(map(len, words))


def _above(folder: Path) -> dict[str, str | None]:
    """What every page of a language is a part of."""
    return {path.name: _reader_of(path).up for path in _pages(folder)}


def _texts(folder: Path) -> dict[str, list[str]]:
    """The paragraphs of every page of a language."""
    return {path.name: read_paragraphs(path) for path in _pages(folder)}


def read_paragraphs(path: Path) -> list[str]:
    """The paragraphs of a page as plain text, without those that are empty, in order.

    Raises:
        InputError: the page is not UTF-8.
    """
    texts = (" ".join("".join(parts).split()) for parts in _reader_of(path).found)
    return [text for text in texts if text]


def _reader_of(path: Path) -> "_Paragraphs":
    reader = _Paragraphs()
    try:
        reader.feed(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged ({error.reason}): delete it and fetch the handbook again.") from error
    return reader


class _Paragraphs(HTMLParser):
    """Collects what stands in `<div class="para">`; one within another is a paragraph of its own.

    Attributes:
        found: pieces of the text of every paragraph.
        up: name of the page that this one is a part of; None where it says nothing of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.up: str | None = None
        self._open: list[int] = []  # for every open div its paragraph's number, -1 for others

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A paragraph begins, or something in it, or a link says where the page belongs."""
        if tag == "link" and ("rel", "up") in attrs:
            self.up = dict(attrs).get("href")
        if tag == "div":
            is_paragraph = ("class", "para") in attrs
            self._open.append(len(self.found) if is_paragraph else -1)
            if is_paragraph:
                self.found.append([])

    def handle_endtag(self, tag: str) -> None:
        """A paragraph may end."""
        if tag == "div" and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Text, which counts directly within a paragraph."""
        if self._open and self._open[-1] >= 0:
            self.found[self._open[-1]].append(data)


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.html"))
