"""Where the samples lie in WAV and AIFF files, whose headers promise sizes that writers often get wrong."""

from typing import Literal, NamedTuple

Order = Literal["little", "big"]
# By the first four bytes: the order of the bytes in sizes, and the name of the chunk of samples.
KINDS: dict[bytes, tuple[Order, bytes]] = {
    b"RIFF": ("little", b"data"),
    b"RF64": ("little", b"data"),
    b"RIFX": ("big", b"data"),
    b"FORM": ("big", b"SSND"),
}
HEAD = 8  # bytes of a chunk's name and size
FIRST = 12  # where the first chunk begins
# Programs that write into a pipe put about the most that 31 or 32 bits hold where they know no size: less by a header,
# or by a block that they write at once.
UNKNOWN_WITHIN = 2**16


class Samples(NamedTuple):
    """The chunk that holds the samples.

    Attributes:
        start: start of the samples in the file, in bytes.
        promised: their bytes by the header; None where its writer did not know it, as one that writes into a pipe.
        order: `little` or `big`, of the bytes of sizes.
    """

    start: int
    promised: int | None
    order: Order


def find_samples(content: bytes) -> Samples | None:
    """The chunk of samples in the content of a file, or None where there is none to be found.

    The size of the whole that stands in front is never looked at: too many programs write a wrong one.
    """
    kind = KINDS.get(content[:4])
    if kind is None:
        return None
    order, wanted = kind
    place, long_size = FIRST, None
    while place + HEAD <= len(content):
        name, size = content[place : place + 4], _number(content, place + 4, order)
        if name == b"ds64":  # of an RF64, whose samples may need more than 32 bits
            long_size = _number(content, place + HEAD + 8, order, 8)
        if name == wanted:
            if size == 2**32 - 1 and long_size is not None:
                size = long_size
            start = place + HEAD
            return Samples(start, None if _is_unknown(content, start, size, order) else size, order)
        place += HEAD + size + size % 2
    return None


def with_sizes(content: bytes, samples: Samples) -> bytes:
    """The same file, its chunk of samples reaching to the end."""
    mended = bytearray(content)
    end = len(content)
    for place, size in ((samples.start - 4, end - samples.start), (4, end - HEAD)):
        mended[place : place + 4] = min(size, 2**32 - 1).to_bytes(4, samples.order)
    return bytes(mended)


def _is_unknown(content: bytes, start: int, size: int, order: Order) -> bool:
    """Whether a size is what programs write that do not know it: 0, or about the most that 31 or 32 bits hold."""
    if size == 0:
        return not _are_chunks(content, start, order)
    beyond = start + size > len(content)
    return beyond and any(abs(size - 2**bits) <= UNKNOWN_WITHIN for bits in (31, 32))


def _are_chunks(content: bytes, place: int, order: Order) -> bool:
    """Whether nothing but whole chunks follow, so that a size of 0 before them is meant."""
    while place + HEAD <= len(content) and content[place : place + 4].strip().isalnum():
        size = _number(content, place + 4, order)
        place += HEAD + size + size % 2
    return place in (len(content), len(content) + 1)  # the last byte that makes a size even may be missing


def _number(content: bytes, place: int, order: Order, size: int = 4) -> int:
    return int.from_bytes(content[place : place + size], order)
