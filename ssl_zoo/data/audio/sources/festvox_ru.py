"""Russian sentences with the times of their phones, from Debian's package of a Festival voice."""

from pathlib import Path

import numpy as np

from ssl_zoo.data.audio.sources.base import AudioSource, LoadedAudio, Recording, Segments
from ssl_zoo.data.audio.sources.sound_files import recording
from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.errors import InputError

PACKAGE = "festvox-ru"
VOICE = Path("usr/share/festival/voices/russian/msu_ru_nsh_clunits")
# All labels that occur, `pau` being a pause.
PHONES = (
    "a aa ae ay b bb c ch d dd e ee f ff g gg h hh i ii j k kk l ll m mm n nn oo p pau pp r rr s sch sh ss t tt u ur "
    "uu v vv y yy z zh zz"
).split()


class FestvoxRu(AudioSource):
    """620 Russian sentences, 99 minutes, 16 kHz, read by one man; 51 phones with their times, no classes.

    N. V. Shmyrev, voice msu_ru_nsh for Festival, 2005. There is no official test set. Without `root` the voice is
    looked for where Debian's package festvox-ru puts it, then in ~/.cache/ssl_zoo, and fetched (179 MB) into the latter
    if need be.

    Args:
        root: folder into which the package was unpacked, as by `dpkg -x`.
    """

    name = "FestvoxRu"
    licence = "BSD-like, copyright 2005 Nickolay V. Shmyrev"

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = None if root is None else resolved(root)

    def load(self) -> LoadedAudio:
        """The sentences in the order of their numbers."""
        return LoadedAudio(sentences(self.root), [], {}, PHONES)


def sentences(root: str | None) -> list[Recording]:
    """The sentences without labels, each with its segments.

    Args:
        root: folder into which the package was unpacked, as by `dpkg -x`.

    Raises:
        InputError: they are neither here nor to be had, or a file of labels is damaged.
    """
    folder = locate(PACKAGE, VOICE, root)
    return [
        recording(path, segments=read_segments(folder / "lab" / f"{path.stem}.lab"))
        for path in sorted((folder / "wav").glob("*.wav"))
    ]


def read_segments(path: Path) -> Segments:
    """The segments in a label file of Festival: a header up to a line with #, then `end number phone` on every line.

    Raises:
        InputError: the file is missing or damaged.
    """
    numbers = {phone: number for number, phone in enumerate(PHONES)}
    try:
        _, _, body = path.read_text().partition("#\n")
        rows = [line.split() for line in body.splitlines()]
        ends = np.array([float(end) for end, _, _ in rows])
        phones = np.array([numbers[phone] for _, _, phone in rows], dtype=np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is missing or damaged ({error}): unpack {PACKAGE} again.") from error
    if len(ends) == 0 or (np.diff(ends) < 0).any():
        raise InputError(f"{path} has no ascending times: unpack {PACKAGE} again.")
    return Segments(ends, phones)
