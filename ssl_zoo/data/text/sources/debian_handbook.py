"""The Debian Administrator's Handbook in its languages, from Debian's package."""

import hashlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.splits import Part
from ssl_zoo.data.text.sources.base import Document, TextSource
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
    """Paragraphs of a technical book in 16 languages (33,000 of them, 11 MB), labelled by language.

    Raphaël Hertzog and Roland Mas, The Debian Administrator's Handbook, edition 11 in the package of Debian 12. What a
    language has not translated stands there in English, and is left out, as are paragraphs that a language has twice.
    There is no official test set. Without `root` it is looked for where Debian's package debian-handbook puts it, then
    in ~/.cache/ssl_zoo, and fetched (34 MB) into the latter if need be.

    Args:
        languages: languages to read, as the package names their folders; they are the classes.
        root: folder into which the package was unpacked.

    Raises:
        InputError: no language is named, one twice, or `root` lacks one.
    """

    licence = "GPL-2+ or CC-BY-SA-3.0"

    def __init__(
        self,
        languages: list[str] = LANGUAGES,
        root: str | Path | None = None,
    ) -> None:
        if not languages or len(set(languages)) < len(languages):
            raise InputError(f"languages is {languages}: name some, each once.")
        self.languages, self.root = list(languages), None if root is None else resolved(root)
        self.name = "Debian's handbook"
        if self.root is not None:
            self._folder()

    @property
    def classes(self) -> list[str]:
        """The languages."""
        return self.languages

    def fingerprint(self) -> str:
        """A checksum of the pages, and which languages are read."""
        digest, folder = hashlib.sha256("\n".join(self.languages).encode()), self._folder()
        for path in (path for language in [ENGLISH, *self.languages] for path in _pages(folder / language)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document]:
        """The paragraphs language by language, in the order of the pages' names."""
        folder = self._folder()
        english = {text for path in _pages(folder / ENGLISH) for text in read_paragraphs(path)}
        for label, language in enumerate(self.languages):
            seen = set() if language == ENGLISH else set(english)
            for path in _pages(folder / language):
                for number, text in enumerate(read_paragraphs(path), start=1):
                    if text not in seen:
                        seen.add(text)
                        yield Document(text, label, name=f"{language}/{path.name}, paragraph {number}")

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


def read_paragraphs(path: Path) -> list[str]:
    """The paragraphs of a page as plain text, without those that are empty, in order.

    Raises:
        InputError: the page is not UTF-8.
    """
    reader = _Paragraphs()
    try:
        reader.feed(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged ({error.reason}): delete it and fetch the handbook again.") from error
    texts = (" ".join("".join(parts).split()) for parts in reader.found)
    return [text for text in texts if text]


class _Paragraphs(HTMLParser):
    """Collects what stands in `<div class="para">`; one within another is a paragraph of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self._open: list[int] = []  # for every open div its paragraph's number, -1 for others

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A paragraph begins, or something in it."""
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
