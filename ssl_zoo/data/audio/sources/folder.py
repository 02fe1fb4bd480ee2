"""A user's own recordings in a folder."""

from pathlib import Path

from ssl_zoo.data.audio.sources.base import UNLABELLED, AudioSource, LoadedAudio
from ssl_zoo.data.audio.sources.sound_files import SUFFIXES, recording
from ssl_zoo.data.described import MOVED, require_files
from ssl_zoo.data.sources.files import class_numbers, find_files, readable, resolved
from ssl_zoo.errors import InputError


class AudioFolder(AudioSource):
    """Sound files (WAV, FLAC, Ogg, Opus, MP3, AIFF) of any sample rate and number of channels.

    Sub-folders are classes, in alphabetical or numerical order, and a file outside of them is unlabelled. Folders
    called train, val (or validation) and test, in any capitals, are the official parts, and the classes are their
    sub-folders; see `ssl_zoo.data.sources.files.find_files`. A folder called unlabelled serves only for pretraining.
    Links are followed, and names that begin with a dot skipped. The data and its licence are your own.

    Args:
        root: folder of the recordings.
    """

    licence = "the user's own"

    def __init__(self, root: str | Path) -> None:
        self.root = resolved(root)
        self.name = f"AudioFolder {readable(Path(self.root).name)}"
        self._require_files()

    def _require_files(self) -> None:
        missing = f"There is no folder {self.root}: set the source's `root` to a folder of sound files, or {MOVED}."
        require_files(Path(self.root).is_dir(), missing)

    def load(self) -> LoadedAudio:
        """All sound files, part by part, in the order of their sorted names."""
        self._require_files()
        files = find_files(Path(self.root), SUFFIXES, "sounds")
        if not files:
            kinds = ", ".join(sorted(SUFFIXES))
            raise InputError(f"There is no sound in {self.root}: put sound files ({kinds}) or folders of them there.")
        numbers = class_numbers(files)
        recordings = [
            recording(file.path, label=UNLABELLED if file.label is None else numbers[file.label], part=file.part)
            for file in files
        ]
        return LoadedAudio(recordings, list(numbers), {}, [])
