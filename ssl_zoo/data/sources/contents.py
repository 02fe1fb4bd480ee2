"""What data is, apart from where it lies and what it is called: a digest of its content, and of each of its files."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.sources.files import identity_of
from ssl_zoo.errors import InputError

# Up to this size all of a data set is read for its digest, which takes about a second; of a larger one, the beginnings
# of some files, evenly spread, besides the sizes of all.
READ_BYTES = 2**30
SAMPLED_FILES = 1024
SAMPLED_BYTES = 2**20


class Contents(NamedTuple):
    """What identifies the content of files.

    Attributes:
        digest: hex digits, the same wherever the files are the same and in the same order.
        hashes: ``(N,)`` uint64, equal for files of equal content; None where there is too much to read.
        version: changes whenever a file does, also where there is too much to read: where the files lie and when they
            were changed counts then. What is made of files goes by it.
    """

    digest: str
    hashes: np.ndarray | None
    version: str


def contents_of(paths: Sequence[Path]) -> Contents:
    """The contents of files.

    Raises:
        InputError: one cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        sizes = np.array(list(pool.map(_size, paths)), dtype=np.int64)
        whole = int(sizes.sum()) <= READ_BYTES
        sampled = np.unique(np.linspace(0, len(paths) - 1, SAMPLED_FILES).astype(np.int64))
        chosen = np.arange(len(paths)) if whole else sampled
        most = -1 if whole else SAMPLED_BYTES
        found = np.array(list(pool.map(lambda place: _hash(paths[place], most), chosen.tolist())), dtype=np.uint64)
    digest = hashlib.sha256(sizes.astype("<i8").tobytes() + found.astype("<u8").tobytes()).hexdigest()
    # A file's suffix may say how it is read.
    known = [path.suffix.lower() if whole else identity_of(path) for path in paths]
    version = hashlib.sha256("\n".join([digest, *known]).encode(errors="surrogateescape")).hexdigest()
    return Contents(digest, found if whole else None, version)


def digest_of_pixels(pixels: Tensor) -> str:
    """A digest of images in memory, ``(N, C, H, W)`` of any type; of very many, of some that are evenly spread."""
    digest = hashlib.sha256(f"{pixels.dtype}:{tuple(pixels.shape)}".encode())
    if pixels.nbytes > READ_BYTES:
        pixels = pixels[torch.linspace(0, len(pixels) - 1, SAMPLED_FILES).long()]
    digest.update(pixels.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give access to it, or remove it.") from error


def _hash(path: Path, most: int) -> int:
    try:
        with path.open("rb") as file:
            content = file.read(most)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give access to it, or remove it.") from error
    return hash_of(content)


def hash_of(content: bytes) -> int:
    """A number of 64 bits, the same for equal content."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
