"""Small images, texts and recordings that tests make themselves: files, sources and batches, and a vocabulary."""

import json
import random
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.sources.base import UNLABELLED, AudioSource, LoadedAudio, Recording, Segments, Sound
from ssl_zoo.vocabulary import Vocabulary

TOPICS = {"animals": "cat dog cow pig".split(), "food": "bread milk rice jam".split()}

PAD, BEGIN, END, MASK, UNKNOWN = SPECIAL = range(5)

RATE = 1000


def write_images(
    folder: Path, count: int = 48, classes: int = 3, size: tuple[int, ...] = (12, 12, 3), first: int = 0
) -> Path:
    """PNG files of noise in a subfolder per class, the higher classes the brighter; the classes take turns.

    Args:
        folder: where they go.
        count: files.
        classes: subfolders; none at all with 0.
        size: height, width and, unless grey, 3 channels.
        first: number of the first file, which says what is in it.
    """
    for number in range(first, first + count):
        label = number % classes if classes else 0
        path = (folder / f"class{label:02}" if classes else folder) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 128, size)
        Image.fromarray((noise + 100 * label // max(classes - 1, 1)).astype(np.uint8)).save(path)
    return folder


def write_texts(path: Path, count: int = 120, words: tuple[int, int] = (3, 9)) -> Path:
    """A file of labelled sentences on two topics, no two of them alike.

    Args:
        path: of the file, which is JSON Lines.
        count: sentences.
        words: the fewest and the most in one, its number aside.
    """
    draw = random.Random(0)
    lines = []
    for number in range(count):
        label = list(TOPICS)[number % 2]
        text = " ".join(draw.choice([*TOPICS[label], "the", "a", "sees"]) for _ in range(draw.randint(*words)))
        lines.append(json.dumps({"text": f"{text} {number}", "label": label}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def vocabulary(size: int, continuations: Iterable[int] = (), special: Iterable[int] = SPECIAL) -> Vocabulary:
    """What encoders know of a tokenizer with so many ids, of which the first five have a meaning of their own."""
    return {
        "size": size, "pad": PAD, "begin": BEGIN, "end": END, "mask": MASK, "unknown": UNKNOWN,
        "special": sorted(special), "continuations": sorted(continuations), "hash": "0" * 16,
    }  # fmt: skip


def write_pairs(path: Path, count: int = 60) -> Path:
    """A file of numbers written out in two languages, a pair in every line, no two of them alike."""
    words = "null eins zwei drei vier".split(), "zero one two three four".split()
    lines = []
    for number in range(count):
        digits = [number // 25 % 5, number // 5 % 5, number % 5, number % 3][: 3 + number % 2]
        lines.append("\t".join(" ".join(language[digit] for digit in digits) for language in words))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def write_waves(folder: Path, count: int = 48) -> Path:
    """WAV files of noisy tones of 0.4 to 0.8 seconds at 16 kHz, in a subfolder for each of three pitches."""
    for number in range(count):
        draw = np.random.default_rng(number)
        time = np.arange(draw.integers(6400, 12800)) / 16000
        tone = 0.3 * np.sin(2 * np.pi * (200 * 2 ** (number % 3)) * (1 + 0.1 * draw.random()) * time)
        path = folder / str(number % 3) / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone + 0.02 * draw.standard_normal(len(time)), 16000)
    return folder


def ramp(length: int) -> Sound:
    """Samples 1, 2, 3 ...: a stretch says where it begins, and none is zero."""
    return Sound(np.arange(1, length + 1, dtype=np.int16)[:, None], RATE)


class Ramps(AudioSource):
    """One recording per length.

    Args:
        lengths: in samples, below 32767.
        labels: of the recordings, or None.
        tests: positions of the official test set.
    """

    name = "Ramps"
    licence = "none"

    def __init__(self, lengths: list[int], labels: list[int] | None = None, tests: list[int] | None = None) -> None:
        self.lengths, self.labels, self.tests = lengths, labels, tests or []

    def load(self) -> LoadedAudio:
        recordings = [
            Recording(
                f"ramp {position}",
                f"ramp:{position}:{length}",
                partial(ramp, length),
                UNLABELLED if self.labels is None else self.labels[position],
                "test" if position in self.tests else "train",
                {"parity": position % 2} if position % 3 else {},
                Segments(np.array([0.01, 0.04]), np.array([1, 0])) if position % 2 else None,
            )
            for position, length in enumerate(self.lengths)
        ]
        classes = [] if self.labels is None else [str(label) for label in range(max(self.labels) + 1)]
        return LoadedAudio(recordings, classes, {"parity": ["even", "odd"]}, ["a", "b"])


def padded_noise(lengths: tuple[int, ...], samples: int) -> Batch:
    """Waveforms ``(B, samples)`` of these lengths, with zeros after them."""
    waves = torch.randn(len(lengths), samples, generator=torch.Generator().manual_seed(0)) * 0.3
    mask = torch.arange(samples) < torch.tensor(lengths)[:, None]
    return Batch(waves * mask, mask, None, torch.arange(10, 10 + len(lengths)))


# Hz, by phone.
PITCHES = (300, 700, 1500, 3000)


def tones(number: int, hum: int, hiss: float) -> Sound:
    """Tones of 40 to 120 ms, see `spell`, with a hum and a hiss."""
    ends, phones = spell(number)
    time = np.arange(int(ends[-1] * 16000)) / 16000
    pitch = np.array(PITCHES)[phones[np.searchsorted(ends, time, side="right").clip(max=len(ends) - 1)]]
    noise = hiss * np.random.default_rng(number).standard_normal(len(time))
    return Sound(
        (0.3 * np.sin(2 * np.pi * pitch * time) + 0.2 * np.sin(2 * np.pi * hum * time) + noise)[:, None], 16000
    )


def spell(number: int) -> Segments:
    """Which tone sounds when in a recording."""
    random = np.random.default_rng(number)
    lengths = random.uniform(0.04, 0.12, random.integers(8, 12))
    return Segments(np.cumsum(lengths), random.integers(0, len(PITCHES), len(lengths)))


class Tones(AudioSource):
    """Forty recordings of tones, the "phones"; a hum stands for the "word", and a hiss for the class.

    Args:
        labelled: whether there are classes.
    """

    name = "Tones"
    licence = "none"

    def __init__(self, labelled: bool = True) -> None:
        self.labelled = labelled

    def load(self) -> LoadedAudio:
        recordings = [
            Recording(
                f"tones {number}",
                f"tones:{number}",
                partial(tones, number, (5000, 6000)[number // 2 % 2], (0.01, 0.05)[number % 2]),
                number % 2 if self.labelled else UNLABELLED,
                "train",
                {"word": number // 2 % 2} if number % 7 else {},
                spell(number),
            )
            for number in range(40)
        ]
        classes = ["clear", "hissing"] if self.labelled else []
        return LoadedAudio(recordings, classes, {"word": ["low", "high"]}, [f"{pitch} Hz" for pitch in PITCHES])
