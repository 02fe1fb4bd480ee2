"""A user's own texts: text files or JSON lines."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from ssl_zoo.data.sources.text_base import UNLABELLED, Document, TextSource
from ssl_zoo.errors import InputError


class TextFiles(TextSource):
    """Texts in .txt files, or in .jsonl files with one object a line. Everything is UTF-8.

    Sub-folders with .txt files are classes, in alphabetical order, and a file outside of them is unlabelled. A JSON
    object has its text under `text` and, where it is labelled, the class under `label`, a word or a whole number;
    classes are in alphabetical or numerical order. The data and its licence are your own.

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

    def documents(self) -> Iterator[Document]:
        """The documents in the order of the sorted file names."""
        files = self._files()
        classes = self._class_numbers(files)
        for path in files:
            if path.suffix == ".jsonl":
                for text, label in _json_documents(path):
                    yield Document(text, UNLABELLED if label is None else classes[str(label)])
            else:
                label = classes.get(path.relative_to(self._folder()).parts[0], UNLABELLED)
                yield from (Document(text, label) for text in _text_documents(path, self.document))

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
            labels.update(label for path in files for _, label in _json_documents(path) if label is not None)
        else:
            inside = [path.relative_to(self._folder()).parts for path in files]
            labels.update(parts[0] for parts in inside if len(parts) > 1)
        numeric = all(isinstance(label, int) for label in labels)
        names = sorted({str(label) for label in labels}, key=int if numeric else str)
        return {name: number for number, name in enumerate(names)}


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file with their line feeds, as few in memory as the file allows."""
    offset = 0
    with path.open("rb") as file:
        for raw in file:
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise InputError(f"{path} is not UTF-8 at byte {offset + error.start}: convert it to UTF-8.") from error
            if offset == 0:
                line = line.removeprefix("\ufeff")  # the byte order mark that some editors write
            offset += len(raw)
            yield line.replace("\r\n", "\n")


def _text_documents(path: Path, document: str) -> Iterator[str]:
    texts: Iterable[str]
    if document == "file":
        texts = ["".join(_lines(path))]
    elif document == "line":
        texts = (line.rstrip("\n") for line in _lines(path))
    else:
        texts = ("".join(lines) for _, lines in groupby(_lines(path), key=lambda line: line.isspace()))
    empty = True
    for text in texts:
        if text.strip():
            empty = False
            yield text
    if empty:
        raise InputError(f"{path} is empty: remove it, or put a text into it.")


def _json_documents(path: Path) -> Iterator[tuple[str, str | int | None]]:
    empty = True
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        empty = False
        try:
            entry: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} has no JSON object in line {number} ({error.msg}): write one a line.") from error
        text = entry.get("text") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise InputError(f'{path} has no text in line {number}: write {{"text": "...", "label": "..."}} a line.')
        label = entry.get("label")
        if isinstance(label, bool) or not isinstance(label, str | int | None):
            raise InputError(f"{path} has the label {label!r} in line {number}: make it a word or a whole number.")
        yield text, label
    if empty:
        raise InputError(f"{path} is empty: remove it, or put JSON lines into it.")
