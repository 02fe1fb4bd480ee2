"""Arrays in files: written piece by piece, mapped into memory when read, checked for damage, pickled by their path."""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Up to this size a file's checksum is looked at whenever it is opened, which takes half a second at most; a larger
# file is only known to be complete.
CHECKED_BYTES = 2**29


class Seal(NamedTuple):
    """What a file must be like: its size in bytes and its CRC-32."""

    size: int
    checksum: int


class ArrayWriter:
    """Writes a one-dimensional array that need not fit into memory; the file is complete after the `with` block.

    Args:
        path: the file; what it held is lost.
        dtype: type of the numbers, with their byte order.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        self.dtype, self._file = dtype, path.open("wb")
        self._size = self._checksum = 0

    def write(self, values: np.ndarray) -> None:
        """Appends ``(N,)`` numbers."""
        data = np.ascontiguousarray(values, dtype=self.dtype)
        if data.size:
            self._checksum = zlib.crc32(data.data, self._checksum)
            self._size += self._file.write(data.data)

    @property
    def seal(self) -> Seal:
        """The seal of all that was written."""
        return Seal(self._size, self._checksum)

    def __enter__(self) -> "ArrayWriter":
        """Begins to write."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._file.close()


def seal_of(path: Path) -> Seal:
    """The seal of a file as it is now."""
    size = checksum = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            size, checksum = size + len(piece), zlib.crc32(piece, checksum)
    return Seal(size, checksum)


def is_damaged(path: Path, sealed: Seal) -> bool:
    """Whether a file is missing, of another size, or (up to CHECKED_BYTES) of other content."""
    if not path.is_file() or path.stat().st_size != sealed.size:
        return True
    return sealed.size <= CHECKED_BYTES and seal_of(path) != sealed


class MappedArray:
    """A read-only array in a file, of which only the pages in use take memory; several processes share them.

    A worker process gets the path, not the numbers.

    Args:
        path: the file.
        dtype: type of the numbers, with their byte order.

    Attributes:
        values: ``(N,)``.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        self.path, self.dtype = path, dtype
        empty = path.stat().st_size == 0  # which cannot be mapped
        self.values = np.empty(0, dtype) if empty else np.asarray(np.memmap(path, dtype, "r"))

    def __len__(self) -> int:
        """How many numbers there are."""
        return len(self.values)

    def __reduce__(self) -> tuple[type["MappedArray"], tuple[Path, str]]:
        """Pickles the path."""
        return MappedArray, (self.path, self.dtype)
