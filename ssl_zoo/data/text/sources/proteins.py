"""Proteins as text: a letter for every amino acid."""

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ssl_zoo.data.described import require_files
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.text.sources.base import BadText, Document, TextSource
from ssl_zoo.errors import InputError

FILE = "AMPvsUniProt.csv"
KINDS = ["other", "antimicrobial"]  # in the order of the file's numbers


class AntimicrobialPeptides(TextSource):
    """4,642 short proteins of 7 to 174 amino acids: does one kill microbes, or has nobody found that it does?

    The set of the Python package modlAMP (Mueller et al., 2017, doi:10.1093/bioinformatics/btx285), half of it from a
    database of antimicrobial peptides and half from UniProt: `uv run --extra proteins ...`, or `root`. A document is a
    sequence in the one-letter code, in capitals; with the tokenizer `characters` every amino acid is a token. Of equal
    sequences the first is taken. There is no official test set. The others are longer, 36 amino acids in the median
    where the antimicrobial have 29, and the parts of the amino acids alone, in no order, say of 79 % which they are.

    Args:
        root: folder with the file AMPvsUniProt.csv, modlAMP's own `data`; the installed package's when left out.

    Raises:
        InputError: `root` lacks the file.
    """

    name = "antimicrobial peptides"
    licence = "BSD-3-Clause (modlAMP), data from APD3 and UniProt (CC BY 4.0)"

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = None if root is None else resolved(root)
        if self.root is not None:
            self._path()

    @property
    def classes(self) -> list[str]:
        """Other and antimicrobial."""
        return list(KINDS)

    def fingerprint(self) -> str:
        """A checksum of the file."""
        with self._path().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def documents(self) -> Iterator[Document | BadText]:
        """The sequences in the order of the file, each once."""
        path, seen = self._path(), set[str]()
        with path.open(encoding="ascii", errors="replace") as file:  # a line with anything else is refused
            next(file, None)  # how many there are, and what the columns are called
            for number, line in enumerate(file, start=2):
                sequence, _, kind = (part.strip() for part in line.partition(","))
                if not sequence.isalpha() or kind not in ("0", "1"):
                    raise InputError(f"{path} has no sequence, comma and 0 or 1 in line {number}: fetch it again.")
                if sequence not in seen:
                    seen.add(sequence)
                    yield Document(sequence, int(kind), name=f"line {number}")

    def _path(self) -> Path:
        if self.root is not None:
            path = Path(self.root) / FILE
            require_files(path.is_file(), f"There is no {path}: give modlAMP's folder `data` as the source's root.")
            return path
        package = find_spec("modlamp")  # which is not imported: it would import pandas and more
        if package is None or package.origin is None:
            raise InputError(
                "The sequences come with modlAMP: `pip install modlamp`, or `uv run --extra proteins ssl-zoo ...`; or "
                f"set the source's root to a folder with its {FILE}."
            )
        return Path(package.origin).parent / "data" / FILE
