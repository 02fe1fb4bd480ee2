"""The English in the running Python's own manual and library."""

import ast
import hashlib
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from ssl_zoo.data.text.sources.base import Document, TextSource
from ssl_zoo.errors import InputError

NOT_LIBRARY = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


class PythonDocs(TextSource):
    """Python's help topics and the docstrings of its standard library: always there, nothing to download, no labels.

    About 700 kB of English technical prose with modules' docstrings, 2 MB with all. It is the text of the Python that
    runs, so that runs compare with each other only under the same version of Python.

    Args:
        docstrings: `modules` takes the docstring of every module; `all` those of classes and functions too.
    """

    licence = "PSF-2.0"

    def __init__(self, docstrings: Literal["modules", "all"] = "modules") -> None:
        if docstrings not in ("modules", "all"):
            raise InputError(f"docstrings is {docstrings}: choose modules or all.")
        self.docstrings = docstrings
        self.name = "PythonDocs" if docstrings == "modules" else "PythonDocs with all docstrings"

    def fingerprint(self) -> str:
        """The version of Python and the sizes of its files."""
        files = [f"{path.relative_to(_library()).as_posix()}:{path.stat().st_size}" for path in _library_files()]
        described = [platform.python_implementation(), platform.python_version(), self.docstrings, *files]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        """The help topics, then the docstrings, each text once."""
        from pydoc_data.topics import topics

        seen: set[str] = set()
        for text in chain(topics.values(), self._docstrings()):
            if text not in seen:
                seen.add(text)
                yield Document(text)

    def _docstrings(self) -> Iterator[str]:
        for path in _library_files():
            yield from _docstrings(path.read_bytes(), everything=self.docstrings == "all")


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _library_files() -> list[Path]:
    found = []
    for folder, below, files in os.walk(_library()):
        below[:] = set(below) - NOT_LIBRARY  # os.walk goes no further than what is left here
        found += [Path(folder) / name for name in files if name.endswith(".py")]
    return sorted(found)


def _docstrings(code: bytes, everything: bool) -> Iterator[str]:
    """The module's docstring, and on request those of all it defines; none from what does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file of Python's that warns is no affair of the user's
            module = ast.parse(code)
    except (SyntaxError, ValueError):  # a test file that is wrong on purpose has no manual
        return
    for node in ast.walk(module) if everything else [module]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
