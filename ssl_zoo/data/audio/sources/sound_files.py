"""Sound files as samples: libsndfile reads WAV, FLAC, Ogg and AIFF, FFmpeg MP3 and G.722."""

import io
from functools import partial
from pathlib import Path
from typing import Any

from ssl_zoo.data.audio.sources.base import CUT_SHORT, EMPTY, UNREADABLE, BadSound, Recording, Sound
from ssl_zoo.data.audio.sources.chunks import KINDS, find_samples, with_sizes
from ssl_zoo.data.audio.sources.ffmpeg import decode_by_ffmpeg, decode_g722, is_flac_of_unknown_length, is_mpeg
from ssl_zoo.data.sources.files import identity_of, readable

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


def recording(path: Path, **facts: Any) -> Recording:
    """A recording in a file of its own.

    Args:
        path: a file that libsndfile reads, or a .g722 file.
        facts: label, part, tasks and segments of `Recording`.
    """
    decode = decode_g722 if path.suffix == ".g722" else decode_file
    return Recording(readable(path), identity_of(path), partial(decode, path), **facts)


def decode_file(path: Path) -> Sound:
    """The sound in a file; errors as for `decode_bytes`."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".mp3" and content and not is_known(content):
            # Such as one cut out of a stream, which begins in the middle of a frame that nothing but FFmpeg skips.
            return decode_by_ffmpeg(content, "mp3", "MP3")
        return decode_bytes(content)
    except OSError as error:
        raise BadSound(UNREADABLE) from error


def is_known(content: bytes) -> bool:
    """Whether the first bytes of a file are those of a kind that libsndfile reads."""
    return content[:4] in (*KINDS, b"fLaC", b"OggS", b".snd", b"caff", b"riff")


def decode_bytes(content: bytes) -> Sound:
    """The sound in the content of a file.

    Raises:
        BadSound: it is empty, damaged or no sound.
        InputError: FFmpeg has to decode it, and PyAV is not installed.
    """
    import soundfile

    if not content:
        raise BadSound(EMPTY)
    if is_mpeg(content):
        return decode_by_ffmpeg(content, "mp3", "MP3")
    if is_flac_of_unknown_length(content):
        return decode_by_ffmpeg(content, "flac", "FLAC (of unknown length)")
    chunk = find_samples(content)
    if chunk is not None:
        if chunk.promised is None:
            content = with_sizes(content, chunk)
        elif chunk.start + chunk.promised > len(content):
            raise BadSound(CUT_SHORT)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            promised = file.frames
            samples = file.read(promised, dtype="float32", always_2d=True)
            sample_rate = file.samplerate
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise BadSound(UNREADABLE) from error
    if len(samples) < promised:
        raise BadSound(CUT_SHORT)
    return Sound(samples, sample_rate)
