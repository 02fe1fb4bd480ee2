"""A user's own recordings in a folder."""

from pathlib import Path

from ssl_zoo.data.sources.audio_base import UNLABELLED, AudioSource, LoadedAudio
from ssl_zoo.data.sources.sound_files import SUFFIXES, recording
from ssl_zoo.errors import InputError

PARTS = {"train", "test"}


class AudioFolder(AudioSource):
    """Sound files (WAV, FLAC, Ogg, Opus, MP3, AIFF) of any sample rate and number of channels.

    Sub-folders are classes, in alphabetical order, and a file outside of them is unlabelled. Where `root` has exactly
    the two sub-folders train and test, they are the official parts, and the classes are their sub-folders. The data and
    its licence are your own.

    Args:
        root: the folder.
    """

    licence = "the user's own"

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self.name = f"AudioFolder {Path(root).expanduser().resolve().name}"
        if not Path(root).expanduser().is_dir():
            raise InputError(f"There is no folder {root}: set the source's `root` to a folder of sound files.")

    def load(self) -> LoadedAudio:
        """All sound files, in the order of their sorted names."""
        root = Path(self.root).expanduser()
        if {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")} == PARTS:
            found = [(path, root / part, part == "test") for part in sorted(PARTS) for path in _sounds(root / part)]
        else:
            found = [(path, root, False) for path in _sounds(root)]
        if not found:
            raise InputError(f"There is no sound in {root}: put sound files or folders of them there.")
        inside = [path.relative_to(top).parts for path, top, _ in found]
        classes = sorted({parts[0] for parts in inside if len(parts) > 1})
        numbers = {name: number for number, name in enumerate(classes)}
        recordings = [
            recording(path, label=numbers.get(parts[0], UNLABELLED), part="test" if test else "train")
            for (path, _, test), parts in zip(found, inside, strict=True)
        ]
        return LoadedAudio(recordings, classes, {}, [])


def _sounds(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in SUFFIXES and path.is_file())
