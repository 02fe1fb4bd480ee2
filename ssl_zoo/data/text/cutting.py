"""One or two long texts, such as a book or a dump of a wiki, cut into many: what language models are trained on."""

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.splits import PARTS
from ssl_zoo.data.text.sources.base import UNLABELLED

FEW = 2  # of more texts, whole ones are held out
# As in nanoGPT, the first nine tenths are trained on; its validation part is what is left.
TRAINED = 0.9
LEAST = 2**11  # bytes; what is shorter is no long text
# Bytes of a piece: a tokenizer takes a hundred times the memory of the text that it is given at once.
PIECE = 2**18
TRAIN, VALIDATION, TEST = (PARTS.index(part) for part in ("train", "validation", "test"))


class Copied(NamedTuple):
    """Texts that lie one after the other in a file, ``(N,)`` each.

    Attributes:
        sizes: int64, UTF-8 bytes of every text.
        labels: int64, -1 for a text without one.
        parts: int8, the number in `PARTS` of every text's official part.
        hashes: uint64, equal for equal texts.
        name_ends: int64, where every text's name ends in a file of names.
    """

    sizes: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    hashes: np.ndarray
    name_ends: np.ndarray


def cut_few(texts: Copied, path: Path, names: Path, called: str, advice: str) -> Copied:
    """Cuts texts to train on at ends of lines where there are too few to hold any out; a warning says so.

    What is held out is the end of each. Texts of several classes stay whole, and so do short ones, and those beside
    official parts for validation and testing. Texts that are cut have no class: a single one says nothing.

    Args:
        texts: what the source gave.
        path: file of the texts; it stays as it is.
        names: file of their names, which is written anew where they are cut.
        called: what the source is called in messages.
        advice: how to have many short texts instead, as a sentence; empty where there is no way.
    """
    few = int((texts.parts == TRAIN).sum())
    missing = [part for part in (VALIDATION, TEST) if not (texts.parts == part).any()]
    classes = np.unique(texts.labels[texts.labels != UNLABELLED])
    if not missing or not 0 < few <= FEW or len(classes) > 1 or texts.sizes.sum() < LEAST:
        return texts
    sizes, parts, hashes, called_by = [], [], [], []
    all_names, first = names.read_bytes(), 0
    with path.open("rb") as file:
        for size, part, end in zip(texts.sizes.tolist(), texts.parts.tolist(), texts.name_ends.tolist(), strict=True):
            name, first = all_names[first:end], end
            text = file.read(size)
            pieces = list(_pieces(text, missing)) if part == TRAIN else [(size, part)]
            place = 0
            for number, (length, of_part) in enumerate(pieces, start=1):
                sizes.append(length)
                parts.append(of_part)
                hashes.append(hash_of_text(text[place : place + length]))
                called_by.append(b"piece %d of %s" % (number, name) if name and len(pieces) > 1 else name)
                place += length
    names.write_bytes(b"".join(called_by))
    held = "the next 5 % validate and the last 5 % test"
    if len(missing) == 1:
        held = f"the last 10 % {'validate' if missing == [VALIDATION] else 'test'}"
    counted = "a single text to train on, which is cut" if few == 1 else "two texts to train on, which are cut"
    warnings.warn(
        f"{called} has {counted} at ends of lines: the first 90 % {'are' if few == 1 else 'of each are'} trained on, "
        f"{held}. {advice}".rstrip(),
        stacklevel=2,
    )
    return Copied(
        np.array(sizes),
        np.full(len(sizes), UNLABELLED),
        np.array(parts, dtype=texts.parts.dtype),
        np.array(hashes, dtype=texts.hashes.dtype),
        np.cumsum([len(name) for name in called_by]),
    )


def hash_of_text(text: bytes) -> int:
    """A number of 64 bits, the same for equal texts."""
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def _pieces(text: bytes, missing: list[int]) -> Iterator[tuple[int, int]]:
    """The size and the part of every piece, in order; together they are the text."""
    shares = [TRAINED, *([(1 + TRAINED) / 2] if len(missing) == 2 else []), 1.0]
    start = 0
    for part, share in zip([TRAIN, *missing], shares, strict=True):
        until = len(text) if share == 1.0 else _end_of_line(text, start, round(share * len(text)))
        while start < until:
            end = until if until - start <= PIECE else _end_of_line(text, start, start + PIECE)
            yield end - start, part
            start = end


def _end_of_line(text: bytes, start: int, place: int) -> int:
    """The last place up to `place` where a line ends, or else a word, or else a character; not before `start`."""
    for mark in (b"\n", b" "):
        found = text.rfind(mark, start, place)
        if found >= 0:
            return found + 1
    while place > start and place < len(text) and text[place] & 0xC0 == 0x80:  # in the midst of a character
        place -= 1
    return place
