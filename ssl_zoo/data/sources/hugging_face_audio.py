"""Audio data sets in the format of Hugging Face's `datasets`, by name or from a folder."""

from functools import partial
from pathlib import Path
from typing import Any

from ssl_zoo.data.sources.audio_base import UNLABELLED, UNREADABLE, AudioSource, BadSound, LoadedAudio, Recording, Sound
from ssl_zoo.data.sources.hub import load_splits
from ssl_zoo.data.sources.sound_files import decode_bytes, decode_file
from ssl_zoo.errors import InputError


class HuggingFaceAudio(AudioSource):
    """An audio data set of the Hugging Face hub, or one that `save_to_disk` has written; needs ssl_zoo[hub].

    The licence is on the data set's page.

    Args:
        name: name on the hub, such as `google/fleurs`, or a folder.
        configuration: one of the data set's configurations, where it has several.
        audio_column: column of the recordings; found by its type when left out.
        label_column: column of the labels, of the class-label type; the first such column when left out, and none if
            there is none.
        train_split: split to train on.
        test_split: split that is the official test set; none when left out.
        revision: the data set's commit or tag on the hub.
    """

    licence = "see the data set's page"

    def __init__(
        self,
        name: str,
        configuration: str | None = None,
        audio_column: str | None = None,
        label_column: str | None = None,
        train_split: str = "train",
        test_split: str | None = None,
        revision: str | None = None,
    ) -> None:
        self.name, self.configuration, self.revision = str(name), configuration, revision
        self.audio_column, self.label_column = audio_column, label_column
        self.train_split, self.test_split = train_split, test_split

    def load(self) -> LoadedAudio:
        """The rows of the training and of the test split, decoded by libsndfile when they are asked for."""
        wanted = [self.train_split, self.test_split]
        splits = load_splits(self.name, self.configuration, self.train_split, wanted, revision=self.revision)
        import datasets  # only now is it known to be there

        features = splits[self.train_split].features
        audio = self._column(features, self.audio_column, "Audio", "audio_column")
        label = self._column(features, self.label_column, "ClassLabel", "label_column")
        if audio is None:
            raise InputError(f"{self.name} has no audio column among {', '.join(features)}: choose another data set.")
        recordings = []
        for name in (self.train_split, self.test_split):
            if name is None:
                continue
            split = splits[name]
            rows = split.select_columns([audio]).cast_column(audio, datasets.Audio(decode=False))
            labels = [UNLABELLED] * len(split) if label is None else list(split[label])
            recordings += [
                Recording(
                    name=f"row {row} of {self.name}/{name}",
                    identity=f"{self.name}:{self.configuration}:{self.revision}:{split._fingerprint}:{audio}:{row}",
                    decode=partial(_decode_row, rows, audio, row),
                    label=UNLABELLED if number is None else number,
                    part="test" if name == self.test_split else "train",
                )
                for row, number in enumerate(labels)
            ]
        return LoadedAudio(recordings, [] if label is None else list(features[label].names), {}, [])

    def _column(self, features: Any, wanted: str | None, kind: str, setting: str) -> str | None:
        candidates = [name for name, feature in features.items() if type(feature).__name__ == kind]
        if wanted is not None and wanted not in candidates:
            raise InputError(
                f"{self.name} has no column {wanted} of the type {kind}: "
                f"{f'set {setting} to ' + ' or '.join(candidates) if candidates else f'leave {setting} out'}."
            )
        return wanted or next(iter(candidates), None)


def _decode_row(rows: Any, column: str, row: int) -> Sound:
    content = rows[row][column]
    if content is None or (content["bytes"] is None and content["path"] is None):
        raise BadSound(UNREADABLE)
    return decode_file(Path(content["path"])) if content["bytes"] is None else decode_bytes(content["bytes"])
