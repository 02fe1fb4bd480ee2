"""Speech Commands and LibriSpeech, downloaded and checked by torchaudio."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_zoo.data.audio.sources.base import AudioSource, LoadedAudio
from ssl_zoo.data.audio.sources.sound_files import recording
from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.splits import Part
from ssl_zoo.errors import InputError

LIBRISPEECH = ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other", "test-clean",
               "test-other")  # fmt: skip


class SpeechCommands(AudioSource):
    """105,829 single English words of a second, 16 kHz, by 2,618 speakers, 35 classes.

    P. Warden, Speech Commands, 2018, arXiv:1804.03209, version 0.02, CC BY 4.0. The official validation and
    test sets are those of validation_list.txt and testing_list.txt; their speakers are in no other part.

    Args:
        root: folder that holds torchaudio's SpeechCommands, downloaded (2.3 GB) where it is missing.
    """

    name = "SpeechCommands"
    licence = "CC BY 4.0"

    def __init__(self, root: str | Path = CACHE) -> None:
        self.root = _kept(root)

    def load(self) -> LoadedAudio:
        """All words in the order of their files' names."""
        from torchaudio import datasets

        folder = Path(self.root).expanduser()
        _fetch(self, datasets.SPEECHCOMMANDS)
        folder = folder / "SpeechCommands" / "speech_commands_v0.02"
        # Folders that begin with an underscore hold noise.
        paths = sorted(path for path in folder.glob("[!_]*/*.wav"))
        lists: dict[str, Part] = {"testing_list.txt": "test", "validation_list.txt": "validation"}
        parts: dict[str, Part] = {}
        for name, part in lists.items():
            try:
                parts |= dict.fromkeys((folder / name).read_text().split(), part)
            except OSError as error:
                raise InputError(f"There is no {name} in {folder}: delete it and fetch the data again.") from error
        classes = sorted({path.parent.name for path in paths})
        numbers = {name: number for number, name in enumerate(classes)}
        recordings = [
            recording(
                path,
                label=numbers[path.parent.name],
                part=parts.get(f"{path.parent.name}/{path.name}", "train"),
            )
            for path in paths
        ]
        return LoadedAudio(recordings, classes, {}, [])


class LibriSpeech(AudioSource):
    """Up to 1000 hours of English audio books, 16 kHz, labelled by speaker.

    V. Panayotov, G. Chen, D. Povey and S. Khudanpur, LibriSpeech: an ASR corpus based on public domain audio books,
    ICASSP 2015, CC BY 4.0. The speakers of its official test sets are in no other part, so none of them can show
    how well speakers are recognised: a part of every speaker's recordings is held out instead.

    Args:
        root: folder that holds torchaudio's LibriSpeech, downloaded (train-clean-100: 6.3 GB) where it is missing.
        subsets: names among train-clean-100, train-clean-360, train-other-500, dev-clean, dev-other, test-clean and
            test-other.
    """

    licence = "CC BY 4.0"

    def __init__(self, root: str | Path = CACHE, subsets: tuple[str, ...] = ("train-clean-100",)) -> None:
        self.root, self.subsets = _kept(root), tuple(subsets)
        unknown = [subset for subset in subsets if subset not in LIBRISPEECH]
        if unknown or not subsets:
            raise InputError(f"LibriSpeech's subsets are {list(subsets)}: choose from {', '.join(LIBRISPEECH)}.")
        self.name = f"LibriSpeech {' '.join(subsets)}"

    def load(self) -> LoadedAudio:
        """All recordings, subset by subset."""
        from torchaudio import datasets

        top = Path(self.root).expanduser() / "LibriSpeech"
        paths: list[Path] = []
        for subset in self.subsets:
            _fetch(self, datasets.LIBRISPEECH, url=subset)
            paths += sorted((top / subset).glob("*/*/*.flac"))
        # Files lie in speaker/chapter.
        classes = sorted({path.parts[-3] for path in paths}, key=int)
        numbers = {name: number for number, name in enumerate(classes)}
        return LoadedAudio([recording(path, label=numbers[path.parts[-3]]) for path in paths], classes, {}, [])


def _kept(root: str | Path) -> str:
    """A user's folder for good; the cache stays below the home of whoever reads it."""
    return str(root) if root == CACHE else resolved(root)


def _fetch(source: SpeechCommands | LibriSpeech, dataset: Callable[..., Any], **part: Any) -> None:
    root = Path(source.root).expanduser()
    try:
        root.mkdir(parents=True, exist_ok=True)
        dataset(root, download=True, **part)
    except (OSError, RuntimeError) as error:  # no network, no disk, or a checksum that does not fit
        raise InputError(
            f"{source.name} is not in {root} and could not be downloaded ({error}): connect to the network once, or "
            "set `root` to a folder that has it."
        ) from error
