"""A user's own texts: text files or JSON lines."""

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ssl_zoo.data.sources.files import DataFile, class_numbers, find_files, identity_of, readable, resolved
from ssl_zoo.data.sources.labels import class_name, number_classes
from ssl_zoo.data.text.sources.base import UNLABELLED, BadText, Document, TextSource
from ssl_zoo.data.text.sources.contents import Entry, json_entries, text_documents
from ssl_zoo.errors import InputError

TEXT = (".txt",)
JSON = (".jsonl", ".ndjson", ".json")


class TextFiles(TextSource):
    """Texts in .txt files, or in .jsonl, .ndjson or .json files with one object a line. Everything is UTF-8.

    Sub-folders with .txt files are classes, in alphabetical or numerical order, and a file outside of them is
    unlabelled. A JSON object has its text under `text` and, where it is labelled, the class under `label`: a word, a
    whole number or a truth value; where no object has a label, sub-folders are classes here too.

    Folders called train, val (or validation) and test, in any capitals, are the official parts, and the classes are
    their sub-folders; see `ssl_zoo.data.sources.files.find_files`. So are files in `root` called train.jsonl,
    test.jsonl and so on, and train.txt where a document is not the whole file. A folder called unlabelled or unsup
    serves only for pretraining. Links are followed, and names that begin with a dot skipped. Files in another encoding
    or without a text are bad ones, of which the data's `on_error` says what they do. The data and its licence are your
    own.

    Args:
        root: a folder of .txt and .jsonl files, or one such file.
        document: what a document of a .txt file is: the whole `file`, a `paragraph` (paragraphs are separated by empty
            lines), or a `line`.
    """

    licence = "the user's own"

    def __init__(self, root: str | Path, document: Literal["file", "paragraph", "line"] = "file") -> None:
        if document not in ("file", "paragraph", "line"):
            raise InputError(f"document is {document}: choose file, paragraph or line.")
        self.root, self.document = resolved(root), document
        if not Path(self.root).exists():
            raise InputError(f"There is no {root}: set the source's `root` to a folder of .txt or .jsonl files.")
        self.name = f"TextFiles {readable(Path(self.root).name)}"

    @property
    def classes(self) -> list[str]:
        """Names of the sub-folders, or what `label` holds in the JSON lines, which are read for it."""
        return list(self._class_numbers(self._files())[0])

    def fingerprint(self) -> str:
        """Where the files really lie, their sizes, times of change, parts and classes."""
        digest = hashlib.sha256(self.document.encode())
        for file in self._files():
            digest.update(f"\n{identity_of(file.path)}:{file.part}:{file.label}".encode())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document | BadText]:
        """The documents, part by part, in the order of the sorted file names."""
        files = self._files()
        numbers, by_folder = self._class_numbers(files)
        for file in files:
            number = numbers.get(file.label or "", UNLABELLED) if by_folder else UNLABELLED
            name = readable(file.path)
            if not _is_json(file):
                for place, text in enumerate(text_documents(file.path, self.document), start=1):
                    called = name if self.document == "file" else f"document {place} of {name}"
                    yield text if isinstance(text, BadText) else Document(text, number, file.part, called)
                continue
            for entry in json_entries(file.path):
                if isinstance(entry, BadText):
                    yield entry
                    continue
                if not by_folder:
                    number = numbers.get(_label_of(entry, file.path) or "", UNLABELLED)
                yield Document(entry.text, number, file.part, f"line {entry.line} of {name}")

    def _files(self) -> list[DataFile]:
        root = Path(self.root)
        if root.is_file():
            files = [DataFile(root, "train", None)] if root.suffix.lower() in TEXT + JSON else []
        else:
            parts = JSON if self.document == "file" else TEXT + JSON
            files = find_files(root, TEXT + JSON, "texts", part_files=parts)
        if not files:
            raise InputError(f"There is no .txt and no .jsonl file in {readable(root)}: put your texts there.")
        kinds = {file.path.suffix.lower() for file in files}
        if ".txt" in kinds and ".json" in kinds:  # which mostly describe the others
            others = sum(file.path.suffix.lower() == ".json" for file in files)
            warnings.warn(f"{readable(root)}: left out .json files beside .txt files: {others:,}.", stacklevel=3)
            files = [file for file in files if file.path.suffix.lower() != ".json"]
            kinds.remove(".json")
        if ".txt" in kinds and len(kinds) > 1:
            raise InputError(f"{readable(root)} has both .txt and .jsonl files: keep one kind.")
        return files

    def _class_numbers(self, files: list[DataFile]) -> tuple[dict[str, int], bool]:
        """The number of every class by its name, and whether folders are the classes."""
        if _is_json(files[0]):
            entries = ((entry, file.path) for file in files for entry in json_entries(file.path))
            names = (_label_of(entry, path) for entry, path in entries if isinstance(entry, Entry))
            numbers = number_classes(names, readable(self.root))
            if numbers:
                return numbers, False
        return class_numbers(files), True


def _is_json(file: DataFile) -> bool:
    return file.path.suffix.lower() in JSON


def _label_of(entry: Entry, path: Path) -> str | None:
    """The name of the class that a line of JSON has; a blank one is none."""
    return class_name(entry.label, f"{readable(path)} in line {entry.line}")
