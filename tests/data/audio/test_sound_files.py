"""How long the sound in a file is, whatever its header says."""

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssl_zoo.data.audio.sources.base import BadSound
from ssl_zoo.data.audio.sources.sound_files import decode_bytes, decode_file
from ssl_zoo.errors import InputError

RATE = 16000


def tone(rate: int = RATE, seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def encoded(samples: np.ndarray, rate: int, kind: str, subtype: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype, **settings)
    return buffer.getvalue()


def wav(samples: np.ndarray | None = None, subtype: str = "PCM_16") -> bytes:
    return encoded(tone() if samples is None else samples, RATE, "WAV", subtype)


def mp3(seconds: float = 3.0, rate: int = 44100, variable: bool = False) -> bytes:
    settings = {"bitrate_mode": "VARIABLE", "compression_level": 0.3} if variable else {}
    return encoded(tone(rate, seconds), rate, "MP3", "MPEG_LAYER_III", **settings)


def first_frame(content: bytes) -> int:
    """Length of the first frame of MPEG-1 layer III, which holds the Xing header and no sound, in bytes."""
    kilobits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[content[2] >> 4]
    rate = (44100, 48000, 32000)[content[2] >> 2 & 3]
    return 144 * kilobits * 1000 // rate + (content[2] >> 1 & 1)


def promising(content: bytes, factor: float) -> bytes:
    """An MP3 whose Xing header promises so many times its frames."""
    place = next(content.index(name) for name in (b"Xing", b"Info") if name in content[:200])
    assert content[place + 7] & 1  # it has a number of frames
    frames = int.from_bytes(content[place + 8 : place + 12])
    return content[: place + 8] + round(factor * frames).to_bytes(4) + content[place + 12 :]


def with_picture(content: bytes) -> bytes:
    # The picture has what looks like the beginning of a frame.
    picture = b"\x00image/jpeg\x00\x03\x00" + b"\xff\xfb\x90\x64" * 8000
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frame + content


MP3S: dict[str, tuple[Callable[[], bytes], float]] = {
    "as encoded": (mp3, 3.0),
    "of variable rate": (lambda: mp3(variable=True), 3.0),
    "mono at 22 kHz": (lambda: mp3(rate=22050), 3.0),
    "without Xing": (lambda: (lambda content: content[first_frame(content) :])(mp3()), 3.0),
    "of variable rate without Xing": (
        lambda: (lambda content: content[first_frame(content) :])(mp3(variable=True)),
        3.0,
    ),
    "promising nothing": (lambda: promising(mp3(), 0), 3.0),
    "promising half": (lambda: promising(mp3(), 0.5), 3.0),
    "promising double": (lambda: promising(mp3(), 2), 3.0),
    "with a picture": (lambda: with_picture(mp3()), 3.0),
    "with a tag behind": (lambda: mp3() + b"TAG" + b"x" * 125, 3.0),
    "a second after another": (lambda: mp3(2.0) + (lambda content: content[first_frame(content) :])(mp3(1.0)), 3.0),
    "without its last tenth": (lambda: (lambda content: content[: len(content) * 9 // 10])(mp3()), 2.7),
}


@pytest.mark.parametrize("kind", MP3S)
def test_an_mp3_is_as_long_as_what_is_in_it(kind: str) -> None:
    make, seconds = MP3S[kind]
    sound = decode_bytes(make())
    # An encoder without a header to say so pads by up to about 2,300 samples.
    assert len(sound.samples) / sound.sample_rate == pytest.approx(seconds, abs=0.06)
    # The tone is there all along; where two tones meet, and at the ends, it may be less.
    power = np.sqrt((sound.samples[: len(sound.samples) // 30 * 30].reshape(30, -1) ** 2).mean(1))
    assert (power[1:-1] > 0.3 / np.sqrt(2) * 0.6).all() and power.max() < 0.3 / np.sqrt(2) * 1.2


def test_an_mp3_may_begin_anywhere_and_an_mp3_by_name_may_be_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    whole = mp3()
    starts = [0]
    while starts[-1] < len(whole):
        starts.append(starts[-1] + first_frame(whole[starts[-1] :]))
    after = (len(starts) - 1 - 41) * 1152 / 44100  # seconds of the frames behind the one that is cut in two
    beginnings = {
        "cut out of a stream": (whole[starts[40] + 30 :], after),
        "a text before": (b"junk " * 99 + whole, 3.0),
    }
    tagged = with_picture(whole)
    beginnings["a tag that gives a wrong size"] = (tagged[:6] + bytes(4) + tagged[10:], 3.0)
    beginnings["a WAV"] = (wav(), 1.0)
    for content, seconds in beginnings.values():
        path.write_bytes(content)
        sound = decode_file(path)
        assert len(sound.samples) / sound.sample_rate == pytest.approx(seconds, abs=0.06)
    for content in (b"This is no sound.\n" * 999, np.random.default_rng(0).bytes(50_000)):
        path.write_bytes(content)
        with pytest.raises(BadSound, match=r"no sound that can be read|damaged|changes"):
            decode_file(path)


def test_an_mp3_needs_ffmpeg_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"MP3 recordings need the package av: install ssl_zoo\[speech\]"):
        decode_bytes(mp3(1.0))
    assert len(decode_bytes(wav()).samples) == RATE  # which needs nothing


def test_what_only_begins_like_an_mp3_is_no_sound() -> None:
    noise = np.random.default_rng(0).integers(0, 255, 20000, dtype=np.uint8).tobytes()  # without a byte of ones
    with pytest.raises(BadSound, match=r"no sound that can be read|damaged"):
        decode_bytes(b"\xff\xfb\x90\x64" + noise)


def sizes(whole: int | None = None, samples: int | None = None, content: bytes | None = None) -> bytes:
    """A WAV of one second whose header has other sizes."""
    made = bytearray(wav() if content is None else content)
    place = made.index(b"data") + 4
    if whole is not None:
        made[4:8] = struct.pack("<I", whole)
    if samples is not None:
        made[place : place + 4] = struct.pack("<I", samples)
    return bytes(made)


WAVS = {
    "as written": sizes(),
    "whole too large by 8": sizes(whole=len(wav())),
    "whole too small": sizes(whole=len(wav()) - 24),
    "whole zero": sizes(whole=0),
    "whole far too large": sizes(whole=10**9),
    "SoX into a pipe": sizes(0x7FFFF024, 0x7FFFF000),
    "FFmpeg into a pipe": sizes(0xFFFFFFFF, 0xFFFFFFFF),
    "arecord into a pipe": sizes(0x80000024, 0x80000000),
    "both zero": sizes(0, 0),
    "samples zero": sizes(samples=0),
    "a chunk behind": wav() + b"LIST" + struct.pack("<I", 4) + b"INFO",
    "an odd chunk before": (lambda made: made[:36] + b"note" + struct.pack("<I", 3) + b"abc\0" + made[36:])(wav()),
    "RF64": encoded(tone(), RATE, "RF64", "PCM_16"),
    "AIFF": encoded(tone(), RATE, "AIFF", "PCM_16"),
    "FLAC from a pipe": (lambda made: made[:21] + bytes([made[21] & 0xF0]) + b"\0\0\0\0" + made[26:])(
        encoded(tone(), RATE, "FLAC", "PCM_16")
    ),
}


@pytest.mark.parametrize("kind", WAVS)
def test_samples_are_as_many_as_there_are_whatever_the_sizes_in_the_header(kind: str) -> None:
    sound = decode_bytes(WAVS[kind])
    assert sound.samples.shape == (RATE, 1)
    np.testing.assert_allclose(sound.samples[:, 0], tone(), atol=1.01 / 32768)


def test_an_odd_number_of_bytes_needs_no_last_one_that_makes_it_even() -> None:
    for content in (wav(tone()[:-1], "PCM_U8"), wav(tone()[:-1], "PCM_U8")[:-1]):
        assert len(decode_bytes(content).samples) == RATE - 1


def test_a_size_of_zero_is_meant_where_there_are_no_samples() -> None:
    empty = wav(np.zeros(0))
    for content in (empty, empty + b"LIST" + struct.pack("<I", 4) + b"INFO"):
        assert len(decode_bytes(content).samples) == 0


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF"])
def test_what_has_less_than_its_samples_size_is_cut_short(kind: str) -> None:
    with pytest.raises(BadSound, match="is cut short"):
        decode_bytes(encoded(tone(), RATE, kind, "PCM_16")[:-1000])
