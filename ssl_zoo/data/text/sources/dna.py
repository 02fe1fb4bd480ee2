"""DNA as text: the letters of its bases, from Debian's packages."""

import gzip
import hashlib
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.text.sources.base import BadText, Document, TextSource
from ssl_zoo.errors import InputError

BASES = "acgt"
UPSTREAM = Path("usr/lib/R/site-library/Biostrings/extdata")
UPSTREAM_FILE = "dm3_upstream2000.fa.gz"
SPLICE = Path("usr/lib/R/site-library/mlbench/data")
SPLICE_FILE = "DNA.rda"
# Of an acceptor the intron ends where the exon begins, of a donor the other way round; in the order of the file.
KINDS = {"ei": "donor", "ie": "acceptor", "n": "neither"}
WINDOW = 60  # bases, the site in the middle


class FlyUpstream(TextSource):
    """The 2,000 bases before each of 26,454 genes of the fruit fly (52.9 million bases), without labels.

    Release dm3 of Drosophila melanogaster's genome, as Bioconductor's Biostrings has it; Debian's package
    r-bioc-biostrings. A document is a sequence in lower case; other letters than a, c, g and t, such as n for what is
    unknown, stay. With the tokenizer `characters` every base is a token, with `bpe` frequent stretches are. Without
    `root` the package is looked for where Debian puts it, then in ~/.cache/ssl_zoo, and fetched (13 MB).

    Args:
        sequences: so many of the sequences, spread evenly over the file; all when null.
        root: folder into which the package was unpacked.

    Raises:
        InputError: `sequences` is less than one, or `root` lacks the file.
    """

    licence = "public domain data of the Berkeley Drosophila Genome Project, in a package under Artistic-2.0"

    def __init__(self, sequences: int | None = 3000, root: str | Path | None = None) -> None:
        if sequences is not None and sequences < 1:
            raise InputError(f"sequences is {sequences}: it must be at least 1, or null for all.")
        self.sequences, self.root = sequences, None if root is None else resolved(root)
        self.name = "fly upstream sequences"
        if self.root is not None:
            self._path()

    def fingerprint(self) -> str:
        """A checksum of the file, and how many sequences are read."""
        return _checksum(self._path(), self.sequences)

    def documents(self) -> Iterator[Document | BadText]:
        """The sequences in the order of the file, each text once."""
        found = list(read_fasta(self._path()))
        count = len(found) if self.sequences is None else min(self.sequences, len(found))
        seen = set()
        for place in (np.arange(count) * len(found) // max(count, 1)).tolist():
            name, sequence = found[place]
            if not sequence:
                yield BadText(name or f"sequence {place + 1}", "has no bases")
            elif sequence not in seen:
                seen.add(sequence)
                yield Document(sequence, name=name)

    def _path(self) -> Path:
        return _file("r-bioc-biostrings", UPSTREAM, UPSTREAM_FILE, self.root)


class SpliceJunctions(TextSource):
    """3,001 stretches of 60 bases of primates' genes: is there in the middle a donor, an acceptor, or no splice site?

    The set of Noordewier, Towell and Shavlik (1991) in the form of Statlog, which the R package mlbench has; Debian's
    package r-cran-mlbench, read with `rdata` (`uv run --extra dna ...`). Of equal stretches the first is taken; 185 are
    left out so. There is no official test set. Without `root` the package is looked for where Debian puts it, then in
    ~/.cache/ssl_zoo, and fetched (1 MB) into the latter.

    Encoders of English read DNA in words that stand for the bases, as in W.-T. Kao and H.-Y. Lee, 2021,
    arXiv:2103.07162; any will do which the tokenizer has as one token each.

    Args:
        words: words that stand for a, c, g and t, written with spaces between them; none writes the letters themselves
            one after the other.
        order: `shuffled` puts the bases of every stretch in a random order that is always the same, so that all is lost
            but how many there are of each: a control.
        root: folder into which the package was unpacked.

    Raises:
        InputError: there are not four different words, or `root` lacks the file.
    """

    licence = "GPL-2 (mlbench), data from the UCI repository of machine learning databases"

    def __init__(
        self,
        words: list[str] | None = None,
        order: Literal["given", "shuffled"] = "given",
        root: str | Path | None = None,
    ) -> None:
        if words is not None and (len(set(words)) != len(BASES) or any(len(word.split()) != 1 for word in words)):
            raise InputError(f"words is {words}: give four different words, or none.")
        if order not in ("given", "shuffled"):
            raise InputError(f"order is {order}: choose given or shuffled.")
        self.words, self.order = words, order
        self.root = None if root is None else resolved(root)
        self.name = "splice junctions" if order == "given" else "splice junctions in shuffled order"
        if self.root is not None:
            self._path()

    @property
    def classes(self) -> list[str]:
        """Donor (exon to intron), acceptor (intron to exon) and neither."""
        return list(KINDS.values())

    def fingerprint(self) -> str:
        """A checksum of the file, and how it is written."""
        return _checksum(self._path(), self.words, self.order)

    def documents(self) -> Iterator[Document]:
        """The stretches in the order of the file, each once."""
        draw = np.random.RandomState(0)  # whose numbers are frozen for all time
        for places, label in read_splice(self._path()):
            shown = places if self.order == "given" else draw.permutation(places)
            if self.words is None:
                yield Document("".join(BASES[place] for place in shown), label)
            else:
                yield Document(" ".join(self.words[place] for place in shown), label)

    def _path(self) -> Path:
        return _file("r-cran-mlbench", SPLICE, SPLICE_FILE, self.root)


def read_fasta(path: Path) -> Iterator[tuple[str, str]]:
    """Names and sequences, in lower case, of a file in FASTA format, compressed or not.

    Args:
        path: the file; its name ends in .gz where it is compressed.

    Raises:
        InputError: it is damaged, or does not begin with a name.
    """
    name: str | None = None
    lines: list[str] = []
    try:
        with gzip.open(path, "rt", encoding="ascii") if path.suffix == ".gz" else path.open(encoding="ascii") as file:
            for line in map(str.strip, file):
                if line.startswith(">"):
                    if name is not None:
                        yield name, "".join(lines)
                    name, lines = line[1:].strip(), []
                elif line and name is None:
                    raise InputError(f"{path} has bases before the first name: begin every sequence with a line >NAME.")
                else:
                    lines.append(line.lower())
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and fetch it again.") from error
    if name is not None:
        yield name, "".join(lines)


def read_splice(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Stretches as ``(60,)`` places in `BASES`, and their labels; of equal stretches the first.

    mlbench has three numbers for a base, of which the first is one for a, the second for c, the third for g, and none
    for t.

    Args:
        path: mlbench's DNA.rda.

    Raises:
        InputError: `rdata` is not installed, or the file is damaged.
    """
    if find_spec("rdata") is None:
        raise InputError(
            "Splice junctions are in a file of R's: `pip install rdata`, or `uv run --extra dna ssl-zoo ...`."
        )
    import rdata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rdata's, about R's types that it leaves as they are
            frame: Any = rdata.read_rda(path, default_encoding="ASCII")["DNA"]
        numbers = frame.iloc[:, :-1].astype(int).to_numpy().reshape(-1, WINDOW, 3)
        labels = [list(KINDS).index(label) for label in frame["Class"]]
    except Exception as error:  # a damaged file fails in many ways in a library that knows all of R's types
        raise InputError(f"{path} is damaged ({type(error).__name__}): delete it and fetch it again.") from error
    seen = set()
    for bases, label in zip(np.where(numbers.any(2), numbers.argmax(2), 3), labels, strict=True):
        if bases.tobytes() not in seen:
            seen.add(bases.tobytes())
            yield bases, label


def _file(package: str, inside: Path, name: str, root: str | None) -> Path:
    path = locate(package, inside, root) / name
    if not path.is_file():
        raise InputError(f"There is no {path}: unpack {package} into the source's root, or give no root.")
    return path


def _checksum(path: Path, *asked: Any) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()} {asked}"
