"""A source's recordings at one sample rate: decoded once, kept on the disk as 16-bit samples, mapped into memory."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ssl_zoo.data.audio.quantize import Quantized, quantize
from ssl_zoo.data.audio.sources.base import BadSound, Recording
from ssl_zoo.data.cache import folder as cache_folder
from ssl_zoo.data.cache.mapped import ArrayWriter, MappedArray
from ssl_zoo.data.cache.progress import patient_progress
from ssl_zoo.data.cache.sealed import open_sealed, read_facts, write_facts

CACHE = cache_folder.CACHE / "audio"
# Raised whenever the files below change, or what is written into them.
FORMAT = 4
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
        peaks: how far a recording went, 1 being full scale, before it was scaled down to fit, by its position.
        hashes: ``(N,)`` uint64, equal for recordings of equal samples.
        digest: digest of all samples; the same wherever the sounds are the same.

    Raises:
        Damaged: a file is missing or not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        facts = read_facts(folder / "audio.json")
        self.samples = MappedArray(folder / "samples.bin", "<i2")
        self.offsets = MappedArray(folder / "offsets.bin", "<i8").values
        self.bad: dict[int, str] = {int(position): reason for position, reason in facts["bad"].items()}
        self.peaks: dict[int, float] = {int(position): peak for position, peak in facts["peaks"].items()}
        self.hashes = MappedArray(folder / "hashes.bin", "<u8").values
        self.digest: str = facts["digest"]

    def read(self, position: int, start: int, length: int) -> np.ndarray:
        """``(length,)`` int16, the samples of a recording from `start` on; all of them must be there."""
        first = self.offsets[position] + start
        return self.samples.values[first : first + length]


def open_pcm(name: str, recordings: list[Recording], sample_rate: int) -> PCM:
    """The samples of recordings from the cache, where they are put if need be, once for all processes of the machine.

    Args:
        name: what the data is called in messages.
        recordings: the recordings, in order.
        sample_rate: samples per second to which recordings are resampled; several channels are mixed down to their
            mean, or the loudest is taken where they cancel each other out.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = CACHE.expanduser() / _key(recordings, sample_rate)
    return open_sealed(folder, PCM, lambda empty: _build(empty, name, recordings, sample_rate))


def _key(recordings: list[Recording], sample_rate: int) -> str:
    digest = hashlib.sha256(f"{FORMAT}:{sample_rate}".encode())
    for recording in recordings:
        digest.update(f"\n{recording.identity}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _build(folder: Path, name: str, recordings: list[Recording], sample_rate: int) -> None:
    """Fills an empty folder."""
    lengths, bad, peaks = np.zeros(len(recordings) + 1, dtype=np.int64), {}, {}
    digest, hashes = hashlib.sha256(), np.zeros(len(recordings), dtype=np.uint64)
    with patient_progress(f"Decoding {name}") as show, ArrayWriter(folder / "samples.bin", "<i2") as writer:
        for position, made in enumerate(_decode_all(recordings, sample_rate)):
            if isinstance(made, BadSound):
                bad[position] = str(made)
                continue
            if made.peak > 1:
                peaks[position] = made.peak
            lengths[position + 1] = len(made.samples)
            own = hashlib.blake2b(made.samples.tobytes(), digest_size=8).digest()
            hashes[position] = int.from_bytes(own, "little")
            digest.update(len(made.samples).to_bytes(8, "little") + made.samples.tobytes())
            writer.write(made.samples)
            show(f"{position + 1:,} of {len(recordings):,} recordings", (position + 1) / len(recordings))
    seals = {"samples.bin": writer.seal}
    with ArrayWriter(folder / "offsets.bin", "<i8") as writer:
        writer.write(lengths.cumsum())
    seals["offsets.bin"] = writer.seal
    with ArrayWriter(folder / "hashes.bin", "<u8") as writer:
        writer.write(hashes)
    seals["hashes.bin"] = writer.seal
    facts = {"files": seals, "bad": bad, "peaks": peaks, "digest": digest.hexdigest(), "sample_rate": sample_rate}
    write_facts(folder / "audio.json", facts)


def _decode_all(recordings: list[Recording], sample_rate: int) -> Iterator[Quantized | BadSound]:
    """The samples of every recording in order, or why there are none; memory does not grow with their number."""
    # In a forked process, threads that call PyTorch race for its thread pool and may find none: renew it here, first.
    torch.set_num_threads(torch.get_num_threads())
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(recordings), AT_ONCE):
            yield from pool.map(partial(_decode, sample_rate=sample_rate), recordings[first : first + AT_ONCE])


def _decode(recording: Recording, sample_rate: int) -> Quantized | BadSound:
    try:
        return quantize(recording.decode(), sample_rate)
    except BadSound as reason:  # the caller names all bad recordings together
        return reason
