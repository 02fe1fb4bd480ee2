"""A source's recordings at one sample rate: decoded once, kept on the disk as 16-bit samples, mapped into memory."""

import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from ssl_zoo.data.mapped import ArrayWriter, MappedArray, Seal, is_damaged
from ssl_zoo.data.progress import Show, patient_progress
from ssl_zoo.data.sources import base
from ssl_zoo.data.sources.audio_base import BadSound, Recording, Sound
from ssl_zoo.data.sources.sound_files import EMPTY
from ssl_zoo.errors import InputError

CACHE = base.CACHE / "audio"
# Raised whenever the files below change, or what is written into them.
FORMAT = 1
FULL_SCALE = 32768
SILENT = "is silent: every sample is zero"
# So many recordings are decoded side by side before they are written.
AT_ONCE = 64


class PCM:
    """The samples of all recordings of a source, one after the other.

    Args:
        folder: made by `open_pcm`.

    Attributes:
        samples: int16.
        offsets: ``(N + 1,)`` int64; recording i is ``samples[offsets[i] : offsets[i + 1]]``.
        bad: why a recording has no samples, by its position.
        digest: of all samples; the same wherever the sounds are the same.

    Raises:
        _Damaged: a file is missing or not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        facts = _read_facts(folder)
        self.samples = MappedArray(folder / "samples.bin", "<i2")
        self.offsets = MappedArray(folder / "offsets.bin", "<i8").values
        self.bad: dict[int, str] = {int(position): reason for position, reason in facts["bad"].items()}
        self.digest: str = facts["digest"]

    def read(self, position: int, start: int, length: int) -> np.ndarray:
        """``(length,)`` int16, the samples of a recording from `start` on; all of them must be there."""
        first = self.offsets[position] + start
        return self.samples.values[first : first + length]


class _Damaged(Exception):
    """Decoded samples cannot be used; the message says which file is to blame."""


def open_pcm(name: str, recordings: list[Recording], sample_rate: int) -> PCM:
    """The samples of recordings from the cache, where they are put if need be, once for all processes of the machine.

    Args:
        name: what the data is called in messages.
        recordings: in order.
        sample_rate: to which they are resampled; several channels are mixed down to their mean.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = CACHE.expanduser() / _key(recordings, sample_rate)
    try:
        return PCM(folder)
    except _Damaged:
        pass
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock")).acquire()
    except OSError as error:
        raise InputError(f"The cache {folder.parent} cannot be written ({error}): make room or give access.") from error
    with lock:
        try:
            return PCM(folder)  # another process was faster
        except _Damaged as damage:
            if folder.is_dir():
                warnings.warn(f"{folder} is damaged ({damage}) and is made again.", stacklevel=2)
        partial_folder = folder.with_suffix(".partial")
        shutil.rmtree(partial_folder, ignore_errors=True)  # left by an interrupted process; this one holds the lock
        partial_folder.mkdir()
        with patient_progress(f"Decoding {name}") as show:
            _build(partial_folder, recordings, sample_rate, show)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial_folder, folder)
        return PCM(folder)


def _key(recordings: list[Recording], sample_rate: int) -> str:
    digest = hashlib.sha256(f"{FORMAT}:{sample_rate}".encode())
    for recording in recordings:
        digest.update(f"\n{recording.identity}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / "audio.json"
    try:
        content = json.loads(path.read_text())
        facts: dict[str, Any] = content["facts"]
        sound = content["checksum"] == _checksum(facts)
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise _Damaged(path.name)
    for name, sealed in facts["files"].items():
        if is_damaged(folder / name, Seal(*sealed)):
            raise _Damaged(name)
    return facts


def _checksum(facts: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _build(folder: Path, recordings: list[Recording], sample_rate: int, show: Show) -> None:
    """Fills an empty folder."""
    lengths, bad = np.zeros(len(recordings) + 1, dtype=np.int64), {}
    digest = hashlib.sha256()
    with ArrayWriter(folder / "samples.bin", "<i2") as writer:
        for position, made in enumerate(_decode_all(recordings, sample_rate)):
            if isinstance(made, BadSound):
                bad[position] = str(made)
                continue
            lengths[position + 1] = len(made)
            digest.update(len(made).to_bytes(8, "little") + made.tobytes())
            writer.write(made)
            show(f"{position + 1:,} of {len(recordings):,} recordings", (position + 1) / len(recordings))
    seals = {"samples.bin": writer.seal}
    with ArrayWriter(folder / "offsets.bin", "<i8") as writer:
        writer.write(lengths.cumsum())
    seals["offsets.bin"] = writer.seal
    facts = {"files": seals, "bad": bad, "digest": digest.hexdigest(), "sample_rate": sample_rate}
    facts = json.loads(json.dumps(facts))  # as it will be read again, for the checksum
    (folder / "audio.json").write_text(json.dumps({"facts": facts, "checksum": _checksum(facts)}, indent=1))


def _decode_all(recordings: list[Recording], sample_rate: int) -> Iterator[np.ndarray | BadSound]:
    """The samples of every recording in order, or why there are none; memory does not grow with their number."""
    # In a forked process, threads that call PyTorch race for its thread pool and may find none: renew it here, first.
    torch.set_num_threads(torch.get_num_threads())
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(recordings), AT_ONCE):
            yield from pool.map(partial(_decode, sample_rate=sample_rate), recordings[first : first + AT_ONCE])


def _decode(recording: Recording, sample_rate: int) -> np.ndarray | BadSound:
    try:
        samples = to_pcm(recording.decode(), sample_rate)
        if len(samples) == 0:
            raise BadSound(EMPTY)
        if not samples.any():
            raise BadSound(SILENT)
    except BadSound as reason:
        return reason
    return samples


def to_pcm(sound: Sound, sample_rate: int) -> np.ndarray:
    """``(S,)`` int16: the mean of the channels at another sample rate; what is too loud is cut off."""
    samples = sound.samples
    if samples.dtype == np.int16 and samples.shape[1] == 1 and sound.sample_rate == sample_rate:
        return samples[:, 0]
    waveform = samples.mean(axis=1, dtype=np.float32)
    if samples.dtype == np.int16:
        waveform /= FULL_SCALE
    if sound.sample_rate != sample_rate and len(waveform):
        from torchaudio.functional import resample

        waveform = resample(torch.from_numpy(waveform), sound.sample_rate, sample_rate).numpy()
    return np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
