"""A user's own texts: text files or JSON lines."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ssl_zoo.data.sources.text_base import UNLABELLED, BadText, Document, TextSource
from ssl_zoo.data.sources.text_contents import Entry, json_entries, text_documents
from ssl_zoo.errors import InputError


class TextFiles(TextSource):
    """Texts in .txt files, or in .jsonl files with one object a line. Everything is UTF-8.

    Sub-folders with .txt files are classes, in alphabetical order, and a file outside of them is unlabelled. A JSON
    object has its text under `text` and, where it is labelled, the class under `label`, a word or a whole number;
    classes are in alphabetical or numerical order. Files in another encoding or without a text are bad ones, of which
    the data's `on_error` says what they do. The data and its licence are your own.

    Args:
        root: a folder of such files, or one such file.
        document: what a document of a .txt file is: the whole `file`, a `paragraph` (paragraphs are separated by empty
            lines), or a `line`.
    """

    licence = "the user's own"

    def __init__(self, root: str | Path, document: Literal["file", "paragraph", "line"] = "file") -> None:
        if document not in ("file", "paragraph", "line"):
            raise InputError(f"document is {document}: choose file, paragraph or line.")
        if not Path(root).expanduser().exists():
            raise InputError(f"There is no {root}: set the source's `root` to a folder of .txt or .jsonl files.")
        self.root, self.document = str(root), document
        self.name = f"TextFiles {Path(root).expanduser().resolve().name}"

    @property
    def classes(self) -> list[str]:
        """Names of the sub-folders, or what `label` holds in the JSON lines, which are read for it."""
        return list(self._class_numbers(self._files()))

    def fingerprint(self) -> str:
        """Names, sizes and times of change of the files."""
        digest = hashlib.sha256(self.document.encode())
        for path in self._files():
            facts = path.stat()
            digest.update(f"\n{path.relative_to(self._folder())}:{facts.st_size}:{facts.st_mtime_ns}".encode())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document | BadText]:
        """The documents in the order of the sorted file names."""
        files = self._files()
        classes = self._class_numbers(files)
        for path in files:
            if path.suffix == ".jsonl":
                for entry in json_entries(path):
                    if isinstance(entry, BadText):
                        yield entry
                        continue
                    name = _label_of(entry, path)
                    yield Document(entry.text, UNLABELLED if name is None else classes[str(name)])
            else:
                label = classes.get(path.relative_to(self._folder()).parts[0], UNLABELLED)
                for text in text_documents(path, self.document):
                    yield text if isinstance(text, BadText) else Document(text, label)

    def _folder(self) -> Path:
        root = Path(self.root).expanduser()
        return root if root.is_dir() else root.parent

    def _files(self) -> list[Path]:
        root = Path(self.root).expanduser()
        found = [root] if root.is_file() else sorted(path for path in root.rglob("[!.]*") if path.is_file())
        files = [path for path in found if path.suffix in (".txt", ".jsonl")]
        if not files:
            raise InputError(f"There is no .txt and no .jsonl file in {root}: put your texts there.")
        if len({path.suffix for path in files}) > 1:
            raise InputError(f"{root} has both .txt and .jsonl files: keep one kind.")
        return files

    def _class_numbers(self, files: list[Path]) -> dict[str, int]:
        labels: set[str | int] = set()
        if files[0].suffix == ".jsonl":
            entries = ((entry, path) for path in files for entry in json_entries(path))
            found = (_label_of(entry, path) for entry, path in entries if isinstance(entry, Entry))
            labels.update(label for label in found if label is not None)
        else:
            inside = [path.relative_to(self._folder()).parts for path in files]
            labels.update(parts[0] for parts in inside if len(parts) > 1)
        numeric = all(isinstance(label, int) for label in labels)
        names = sorted({str(label) for label in labels}, key=int if numeric else str)
        return {name: number for number, name in enumerate(names)}


def _label_of(entry: Entry, path: Path) -> str | int | None:
    """The label of a line of JSON; a blank one is none."""
    label = entry.label
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise InputError(f"{path} has the label {label!r} in line {entry.line}: make it a word or a whole number.")
    return (label.strip() or None) if isinstance(label, str) else label
