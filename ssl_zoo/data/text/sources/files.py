"""A user's own texts: text files, JSON lines or tables."""

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ssl_zoo.data.described import MOVED, require_files
from ssl_zoo.data.sources.files import (
    SHARD,
    DataFile,
    class_numbers,
    find_files,
    identity_of,
    part_of,
    readable,
    resolved,
)
from ssl_zoo.data.sources.labels import class_name, number_classes
from ssl_zoo.data.text.sources.base import UNLABELLED, BadText, Document, TextSource
from ssl_zoo.data.text.sources.contents import (
    TABLES,
    USUAL,
    Columns,
    Entry,
    columns_of,
    json_entries,
    table_entries,
    text_documents,
)
from ssl_zoo.errors import InputError

TEXT = (".txt",)
JSON = (".jsonl", ".ndjson", ".json")
# Beside .txt files these mostly describe them.
DESCRIBE = (".json", *TABLES)


class TextFiles(TextSource):
    """Texts in UTF-8: .txt files, .jsonl, .ndjson or .json files with one object a line, or .csv or .tsv tables.

    Sub-folders with .txt files are classes, in alphabetical or numerical order, and a file outside of them is
    unlabelled. A JSON object, or a row of a table, has its text under `text` and, where it is labelled, the class under
    `label`: a word, a whole number or a truth value; where none has a label, sub-folders are classes here too.

    One or two texts without labels, such as a book, are cut where a line ends: the first 90 % of each are trained on,
    the next 5 % validate and the last 5 % test.

    Folders called train, val (or validation) and test, in any capitals, are the official parts, and the classes are
    their sub-folders; see `ssl_zoo.data.sources.files.find_files`. So are files in `root` called train.jsonl,
    test.jsonl or test.csv and so on; and train.txt where a document is not the whole file, or where all .txt files are
    called like that. A folder called unlabelled or unsup
    serves only for pretraining. Links are followed, and names that begin with a dot skipped. Files in another encoding
    or without a text are bad ones, of which the data's `on_error` says what they do. The data and its licence are your
    own.

    Args:
        root: a folder of .txt, .jsonl or .csv files, or one such file.
        document: what a document of a .txt file is: the whole `file`, a `paragraph` (paragraphs are separated by empty
            lines), or a `line`.
        text_column: what the text is called in JSON objects and tables.
        label_column: what the class is called in JSON objects and tables; `label` need not be there.
    """

    licence = "the user's own"

    def __init__(
        self,
        root: str | Path,
        document: Literal["file", "paragraph", "line"] = "file",
        text_column: str = "text",
        label_column: str = "label",
    ) -> None:
        if document not in ("file", "paragraph", "line"):
            raise InputError(f"document is {document}: choose file, paragraph or line.")
        self.root, self.document = resolved(root), document
        self.text_column, self.label_column = text_column, label_column
        self._require_files()
        self.name = f"TextFiles {readable(Path(self.root).name)}"
        if document == "file":
            self.finer = (
                "To make every line or paragraph of a .txt file a text of its own, set --data.source.document to line "
                "or paragraph."
            )

    def _require_files(self) -> None:
        missing = (
            f"There is no {self.root}: set the source's `root` to a folder of .txt, .jsonl or .csv files, or {MOVED}."
        )
        require_files(Path(self.root).exists(), missing)

    @property
    def classes(self) -> list[str]:
        """Names of the sub-folders, or what `label` holds in the JSON lines, which are read for it."""
        return list(self._class_numbers(self._files())[0])

    def fingerprint(self) -> str:
        """Where the files really lie, their sizes, times of change, parts and classes."""
        digest = hashlib.sha256(f"{self.document}:{self.text_column}:{self.label_column}".encode())
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
            if file.path.suffix.lower() in TEXT:
                for place, text in enumerate(text_documents(file.path, self.document), start=1):
                    called = name if self.document == "file" else f"document {place} of {name}"
                    yield text if isinstance(text, BadText) else Document(text, number, file.part, called)
                continue
            for entry in self._entries(file.path):
                if isinstance(entry, BadText):
                    yield entry
                    continue
                if not by_folder:
                    number = numbers.get(_label_of(entry, file.path) or "", UNLABELLED)
                yield Document(entry.text, number, file.part, f"line {entry.line} of {name}")

    def _entries(self, path: Path) -> Iterator[Entry | BadText]:
        read = table_entries if path.suffix.lower() in TABLES else json_entries
        return read(path, Columns(self.text_column, self.label_column))

    def _files(self) -> list[DataFile]:
        self._require_files()
        root, wanted = Path(self.root), TEXT + JSON + TABLES
        if root.is_file():
            files = [DataFile(root, "train", None)] if root.suffix.lower() in wanted else []
        else:
            parts = wanted if self.document != "file" or _all_called_like_parts(root) else JSON + TABLES
            files = find_files(root, wanted, "texts", part_files=parts)
        if not files:
            raise InputError(f"There is no .txt, .jsonl or .csv file in {readable(root)}: put your texts there.")
        kinds = {file.path.suffix.lower() for file in files}
        for kind in sorted(kinds.intersection(DESCRIBE)) if ".txt" in kinds else []:
            others = sum(file.path.suffix.lower() == kind for file in files)
            warnings.warn(f"{readable(root)}: left out {kind} files beside .txt files: {others:,}.", stacklevel=3)
            files = [file for file in files if file.path.suffix.lower() != kind]
            kinds.remove(kind)
        used = [group for group in (TEXT, JSON, TABLES) if kinds.intersection(group)]
        if len(used) > 1:
            raise InputError(
                f"{readable(root)} has both {' and '.join(kind[0] for kind in used)} files: keep one kind."
            )
        return files

    def _class_numbers(self, files: list[DataFile]) -> tuple[dict[str, int], bool]:
        """The number of every class by its name, and whether folders are the classes."""
        if files[0].path.suffix.lower() not in TEXT:
            entries = ((entry, file.path) for file in files for entry in self._entries(file.path))
            names = (_label_of(entry, path) for entry, path in entries if isinstance(entry, Entry))
            numbers = number_classes(names, readable(self.root))
            if numbers:
                return numbers, False
            if self.label_column != USUAL.label:
                others = [name for name in columns_of(files[0].path) if name != self.text_column]
                known = f"set --data.source.label_column to one of {', '.join(others)}, or " if others else ""
                raise InputError(
                    f"No text in {readable(self.root)} has a label under {self.label_column}: {known}leave it out."
                )
        return class_numbers(files), True


def _all_called_like_parts(root: Path) -> bool:
    """Whether the .txt files in a folder are all called train.txt, val.txt and so on, and one is to train on."""
    stems = [path.stem for path in root.glob("[!.]*") if path.suffix.lower() in TEXT and path.is_file()]
    parts = [part_of(SHARD.sub("", stem)) for stem in stems]
    return "train" in parts and None not in parts and len(parts) > 1


def _label_of(entry: Entry, path: Path) -> str | None:
    """The name of the class that a line of JSON has; a blank one is none."""
    return class_name(entry.label, f"{readable(path)} in line {entry.line}")
