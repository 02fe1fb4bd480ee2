"""The definitions of WordNet, from Debian's package."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.described import require_files
from ssl_zoo.data.sources.debian import fetch_package
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.text.sources.base import UNLABELLED, Document, TextSource
from ssl_zoo.errors import InputError

PACKAGE = "wordnet-base"
INSTALLED = Path("/usr/share/wordnet")
FILES = ["data.noun", "data.verb", "data.adj", "data.adv"]
# lexnames(5WN): the 45 lexicographer files in the order of their numbers.
LEXICOGRAPHER_FILES = [
    *("adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute"),
    *("noun.body", "noun.cognition", "noun.communication", "noun.event", "noun.feeling", "noun.food", "noun.group"),
    *("noun.location", "noun.motive", "noun.object", "noun.person", "noun.phenomenon", "noun.plant"),
    *("noun.possession", "noun.process", "noun.quantity", "noun.relation", "noun.shape", "noun.state"),
    *("noun.substance", "noun.time", "verb.body", "verb.change", "verb.cognition", "verb.communication"),
    *("verb.competition", "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion"),
    *("verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather", "adj.ppl"),
]
# Of the noun files all but noun.Tops, the 51 beginners of the hierarchy, name a subject matter.
NOUNS = [name for name in LEXICOGRAPHER_FILES if name.startswith("noun.") and name != "noun.Tops"]


class WordNet(TextSource):
    """117,033 definitions of English words with examples of their use (9 MB), labelled by subject matter.

    G. A. Miller, WordNet: A Lexical Database for English, Communications of the ACM 38(11), 1995; version 3.0. A
    document is the gloss of a sense, its label the lexicographer file the sense is kept in; of equal glosses the first
    is taken. There is no official test set. Without `root` it is looked for where Debian's package wordnet-base puts
    it, then in ~/.cache/ssl_zoo, and fetched (6 MB) into the latter if need be.

    Args:
        labels: `nouns` labels the 25 classes of nouns (animal, artifact, food, person ...) and leaves all other
            documents to pretraining; `all` labels all 45 lexicographer files.
        root: folder with WordNet's files data.noun, data.verb, data.adj and data.adv.
    """

    licence = "WordNet 3.0 licence (free use with the copyright notice), copyright 2006 Princeton University"

    def __init__(self, labels: Literal["nouns", "all"] = "nouns", root: str | Path | None = None) -> None:
        if labels not in ("nouns", "all"):
            raise InputError(f"labels is {labels}: choose nouns or all.")
        self.labels, self.root = labels, None if root is None else resolved(root)
        self.name = "WordNet" if labels == "nouns" else "WordNet with 45 classes"
        self._require_files()

    def _require_files(self) -> None:
        missing = [] if self.root is None else [name for name in FILES if not (Path(self.root) / name).is_file()]
        for name in missing:
            give = "give the folder with WordNet's data files, or none"
            require_files(False, f"There is no {name} in {self.root}: {give}.")

    @property
    def classes(self) -> list[str]:
        """Names of the lexicographer files that are labels."""
        return NOUNS if self.labels == "nouns" else LEXICOGRAPHER_FILES

    def fingerprint(self) -> str:
        """A checksum of the files."""
        digest = hashlib.sha256(self.labels.encode())
        for path in self._files():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document]:
        """The glosses of nouns, verbs, adjectives and adverbs, each text once."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        seen = set()
        for path in self._files():
            for lexicographer_file, gloss in read_glosses(path):
                if gloss not in seen:
                    seen.add(gloss)
                    yield Document(gloss, numbers.get(lexicographer_file, UNLABELLED))

    def _files(self) -> list[Path]:
        self._require_files()
        folder = find_or_fetch() if self.root is None else Path(self.root).expanduser()
        return [folder / name for name in FILES]


def find_or_fetch() -> Path:
    """The folder with WordNet's data files.

    Raises:
        InputError: it is neither here nor to be had.
    """
    if all((INSTALLED / name).is_file() for name in FILES):
        return INSTALLED
    try:
        return fetch_package(PACKAGE, CACHE.expanduser() / "debian") / INSTALLED.relative_to("/")
    except InputError as error:
        raise InputError(
            f"WordNet is not on this machine and could not be fetched: install Debian's package {PACKAGE}, or set "
            f"`root` to a folder with {', '.join(FILES)}."
        ) from error


def read_glosses(path: Path) -> Iterator[tuple[str, str]]:
    """The lexicographer file and the gloss of every sense in a data file, whose format wndb(5WN) describes.

    A line is `offset lexicographer-file-number type words pointers | gloss`; the licence stands on indented lines.

    Raises:
        InputError: the file is damaged.
    """
    with path.open(encoding="ascii", errors="replace") as file:  # what is replaced is refused below
        for number, line in enumerate(file, start=1):
            if line.startswith("  "):
                continue
            fields, _, gloss = line.partition(" | ")
            lexicographer_file = fields[9:11]
            known = lexicographer_file.isdigit() and int(lexicographer_file) < len(LEXICOGRAPHER_FILES)
            if not known or not gloss.strip() or "\ufffd" in line:
                raise InputError(f"{path} is damaged in line {number}: delete it and fetch WordNet again.")
            yield LEXICOGRAPHER_FILES[int(lexicographer_file)], gloss.strip()
