"""What FFmpeg decodes, through PyAV: G.722, which libsndfile cannot, and MP3, whose length libsndfile only guesses.

libsndfile takes an MP3's length from its Xing header, or from its first frame where it has none, and reads no further;
FFmpeg decodes what is there.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from ssl_zoo.data.audio.sources.base import CHANGES, DAMAGED, EMPTY, UNREADABLE, BadSound, Sound
from ssl_zoo.errors import InputError

TAG = 10  # bytes of the header of an ID3v2 tag
# More broken packets than these are no matter of a stream's two ends.
MOST_DAMAGED = 2


def decode_g722(path: Path) -> Sound:
    """The sound in a file of raw G.722, which is 16 kHz mono and has no header.

    Raises:
        BadSound: it is empty or cannot be decoded.
        InputError: PyAV is not installed.
    """
    av = _library("G.722")
    content = path.read_bytes()
    if not content:
        raise BadSound(EMPTY)
    decoder = av.CodecContext.create("g722", "r")
    decoder.sample_rate, decoder.layout = 16000, "mono"
    try:
        frames = [frame.to_ndarray()[0] for packet in (av.Packet(content), None) for frame in decoder.decode(packet)]
    except av.FFmpegError as error:
        raise BadSound(UNREADABLE) from error
    return Sound(np.concatenate(frames)[:, None], 16000)


def is_mpeg(content: bytes) -> bool:
    """Whether the content of a file begins with a frame of MPEG audio (MP3, say), after tags if it has any."""
    place = 0
    while content[place : place + 3] == b"ID3" and place + TAG <= len(content):
        footer = TAG if content[place + 5] & 0x10 else 0
        size = sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(content[place + 6 : place + TAG]))
        place += TAG + size + footer
    while content[place : place + 1] == b"\0":  # padding that a tag's size leaves out
        place += 1
    head = int.from_bytes(content[place : place + 2])
    # Eleven bits of ones, two of the version, and two that say which of three layers; AAC has none.
    return head & 0xFFE0 == 0xFFE0 and head & 0x0006 != 0


def is_flac_of_unknown_length(content: bytes) -> bool:
    """Whether the content of a file is FLAC that was written into a pipe; libsndfile refuses to read it."""
    # Of the first block the last 36 of these 64 bits count samples.
    return content[:4] == b"fLaC" and int.from_bytes(content[18:26]) & (2**36 - 1) == 0


def decode_by_ffmpeg(content: bytes, container: str, name: str) -> Sound:
    """The sound in the content of a file, as long as what is there, whatever its header says.

    Args:
        content: content of the file.
        container: FFmpeg's name of what it is. Nothing else is tried, as some formats name other files to be opened.
        name: what it is called in messages.

    Raises:
        BadSound: it is damaged or no sound.
        InputError: PyAV is not installed.
    """
    av = _library(name)
    blocks: list[np.ndarray] = []
    kinds, damaged, sample_rate = set(), 0, 0
    try:
        with av.open(io.BytesIO(content), format=container) as file:
            for packet in file.demux(audio=0):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:  # as the first frame of a stretch cut out of a stream may be
                    damaged += 1
                    continue
                for frame in frames:
                    kinds.add((frame.sample_rate, frame.format.name, len(frame.layout.channels)))
                    sample_rate = frame.sample_rate
                    blocks.append(_samples(frame))
    except (av.FFmpegError, IndexError) as error:
        raise BadSound(UNREADABLE) from error
    if not blocks:
        raise BadSound(UNREADABLE)
    if damaged > MOST_DAMAGED:
        raise BadSound(DAMAGED)
    if len(kinds) > 1:
        raise BadSound(CHANGES)
    return Sound(np.concatenate(blocks), sample_rate)


def _samples(frame: Any) -> np.ndarray:
    """``(S, C)`` float32."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype.kind == "i":
        values = values / -float(np.iinfo(values.dtype).min)
    return values.T.astype(np.float32)


def _library(name: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError(f"{name} recordings need the package av: install ssl_zoo[speech].") from error
    return av
