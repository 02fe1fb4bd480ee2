"""Audio data sets in the format of Hugging Face's `datasets`, by name or from a folder."""

from functools import partial
from pathlib import Path
from typing import Any

from ssl_zoo.data.audio.sources.base import UNREADABLE, AudioSource, BadSound, LoadedAudio, Recording, Sound
from ssl_zoo.data.audio.sources.sound_files import decode_bytes, decode_file
from ssl_zoo.data.sources.files import identity_of
from ssl_zoo.data.sources.hub import load_splits, located, warn_of_unused
from ssl_zoo.data.sources.hub_columns import files_outside, find_labels, identity_of_split, values_of
from ssl_zoo.data.splits import Part
from ssl_zoo.errors import InputError


class HuggingFaceAudio(AudioSource):
    """An audio data set of the Hugging Face hub, or one that `save_to_disk` has written; needs ssl_zoo[hub].

    The licence is on the data set's page.

    Args:
        name: name on the hub, such as `google/fleurs`, or a folder.
        configuration: one of the data set's configurations, where it has several.
        audio_column: column of the recordings; found by its type when left out.
        label_column: column of the labels, of the class-label type, words, whole numbers or truth values; the first
            class-label column when left out, or one called label or labels. None and -1 are no labels.
        train_split: split to train on.
        test_split: split that is the official test set; none when left out.
        validation_split: split that is the official validation set; none when left out.
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
        validation_split: str | None = None,
    ) -> None:
        self.name, self.configuration, self.revision = located(name), configuration, revision
        self.audio_column, self.label_column = audio_column, label_column
        self.train_split, self.test_split, self.validation_split = train_split, test_split, validation_split

    def load(self) -> LoadedAudio:
        """The rows of the splits, decoded by libsndfile when they are asked for."""
        parts: dict[str | None, Part] = {
            self.test_split: "test",
            self.validation_split: "validation",
            self.train_split: "train",
        }
        wanted = {name: parts[name] for name in reversed(parts) if name is not None}
        splits = load_splits(self.name, self.configuration, self.train_split, list(wanted), revision=self.revision)
        import datasets  # only now is it known to be there

        features = splits[self.train_split].features
        audio = self._audio_column(features)
        warn_of_unused(self.name, splits, wanted, "name those wanted in test_split and validation_split")
        labels = find_labels({name: splits[name] for name in wanted}, self.label_column, self.name)
        recordings = []
        for name, part in wanted.items():
            split = splits[name]
            rows = split.select_columns([audio]).cast_column(audio, datasets.Audio(decode=False))
            identity = f"{self.name}:{self.configuration}:{self.revision}:{identity_of_split(split)}:{audio}"
            numbers = labels.numbers(name, values_of(split, labels.column))
            recordings += [
                Recording(
                    name=f"row {row} of {self.name}/{name}",
                    identity=f"{identity}:{row}:{identity_of(Path(path)) if path and Path(path).is_file() else path}",
                    decode=partial(_decode_row, rows, audio, row),
                    label=number,
                    part=part,
                )
                for row, (number, path) in enumerate(zip(numbers, files_outside(split, audio), strict=True))
            ]
        return LoadedAudio(recordings, labels.classes, {}, [])

    def _audio_column(self, features: Any) -> str:
        candidates = [name for name, feature in features.items() if type(feature).__name__ == "Audio"]
        if self.audio_column is not None and self.audio_column not in candidates:
            raise InputError(
                f"{self.name} has no column {self.audio_column} of the type Audio: "
                f"{'set audio_column to ' + ' or '.join(candidates) if candidates else 'leave audio_column out'}."
            )
        if not candidates:
            raise InputError(f"{self.name} has no audio column among {', '.join(features)}: choose another data set.")
        return self.audio_column or candidates[0]


def _decode_row(rows: Any, column: str, row: int) -> Sound:
    content = rows[row][column]
    if content is None or (content["bytes"] is None and content["path"] is None):
        raise BadSound(UNREADABLE)
    return decode_file(Path(content["path"])) if content["bytes"] is None else decode_bytes(content["bytes"])
