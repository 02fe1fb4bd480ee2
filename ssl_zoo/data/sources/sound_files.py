"""Sound files as samples: what libsndfile reads (WAV, FLAC, Ogg, MP3 ...), and G.722 through FFmpeg."""

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ssl_zoo.data.sources.audio_base import BadSound, Recording, Sound
from ssl_zoo.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")
EMPTY = "is empty"
CUT_SHORT = "is cut short: it has less than its header promises"
UNREADABLE = "is no sound that can be read"


def recording(path: Path, **facts: Any) -> Recording:
    """A recording in a file of its own.

    Args:
        path: a file that libsndfile reads, or a .g722 file.
        facts: label, test, tasks and segments of `Recording`.
    """
    found = path.stat()
    decode = decode_g722 if path.suffix == ".g722" else decode_file
    identity = f"{path}:{found.st_size}:{found.st_mtime_ns}"
    return Recording(str(path), identity, partial(decode, path), **facts)


def decode_file(path: Path) -> Sound:
    """The sound in a file; errors as for `decode_bytes`."""
    try:
        return decode_bytes(path.read_bytes())
    except OSError as error:
        raise BadSound(UNREADABLE) from error


def decode_bytes(content: bytes) -> Sound:
    """The sound in the content of a file.

    Raises:
        BadSound: it is empty, damaged or no sound.
    """
    import soundfile

    if not content:
        raise BadSound(EMPTY)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            promised = file.frames
            samples = file.read(dtype="float32", always_2d=True)
            sample_rate = file.samplerate
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise BadSound(UNREADABLE) from error
    if len(samples) < promised or _is_cut_riff(content):
        raise BadSound(CUT_SHORT)
    return Sound(samples, sample_rate)


def _is_cut_riff(content: bytes) -> bool:
    """Whether a WAV file ends early, which libsndfile does not mind.

    A program that writes into a pipe does not know the size beforehand and puts the largest number there.
    """
    if content[:4] != b"RIFF":
        return False
    promised = int.from_bytes(content[4:8], "little")
    return promised < 2**32 - 2**16 and len(content) < promised + 8


def decode_g722(path: Path) -> Sound:
    """The sound in a file of raw G.722, which is 16 kHz mono and has no header.

    Raises:
        BadSound: it is empty or cannot be decoded.
        InputError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("G.722 recordings need the package av: install ssl_zoo[speech].") from error
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
