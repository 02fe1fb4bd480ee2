"""Text data sets in the format of Hugging Face's `datasets`, by name or from a folder."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ssl_zoo.data.sources.hub import load_splits
from ssl_zoo.data.sources.text_base import UNLABELLED, BadText, Document, TextSource
from ssl_zoo.data.sources.text_contents import BLANK, is_blank
from ssl_zoo.data.splits import Part
from ssl_zoo.errors import InputError


class HuggingFaceText(TextSource):
    """A text data set of the Hugging Face hub, or one that `save_to_disk` has written; needs ssl_zoo[hub].

    Rows without text are bad ones, of which the data's `on_error` says what they do. The licence is on the data set's
    page.

    Args:
        name: name on the hub, such as `stanfordnlp/imdb`, or a folder.
        configuration: one of the data set's configurations, where it has several.
        text_column: column of the texts.
        label_column: column of the labels, of the class-label type; the first such column when left out, and none if
            there is none.
        train_split: split to train on.
        test_split: split that is the official test set; none when left out.
        unlabelled_split: split to pretrain on besides, whose labels do not count.
        streaming: read over the network without keeping the data set on the disk.
        max_documents: read only so many rows of every split; all when left out.
        revision: the data set's commit or tag on the hub. Without one, tokens once made are used on, even when the data
            set changes on the hub.
    """

    licence = "see the data set's page"

    def __init__(
        self,
        name: str,
        configuration: str | None = None,
        text_column: str = "text",
        label_column: str | None = None,
        train_split: str = "train",
        test_split: str | None = None,
        unlabelled_split: str | None = None,
        streaming: bool = False,
        max_documents: int | None = None,
        revision: str | None = None,
    ) -> None:
        if max_documents is not None and max_documents < 1:
            raise InputError(f"max_documents is {max_documents}: it must be at least 1.")
        self.name, self.configuration, self.revision = str(name), configuration, revision
        self.text_column, self.label_column = text_column, label_column
        self.train_split, self.test_split, self.unlabelled_split = train_split, test_split, unlabelled_split
        self.streaming, self.max_documents = streaming, max_documents

    @property
    def classes(self) -> list[str]:
        """Names of the classes of the label column."""
        split = self._splits()[self.train_split]
        label = self._label_column(split)
        return [] if label is None else list(split.features[label].names)

    def fingerprint(self) -> str:
        """The arguments, and names, sizes and times of change of a folder's files."""
        described = [f"{name}={value}" for name, value in sorted(vars(self).items()) if name != "streaming"]
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            described += [f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()

    def documents(self) -> Iterator[Document | BadText]:
        """The rows of the training, the test and the unlabelled split."""
        splits = self._splits()
        label = self._label_column(splits[self.train_split])
        for name in (self.train_split, self.test_split, self.unlabelled_split):
            if name is None:
                continue
            labelled = label if name != self.unlabelled_split else None
            rows = splits[name].select_columns([self.text_column, *([labelled] if labelled else [])])
            for place, row in enumerate(islice(rows, self.max_documents)):
                text = row[self.text_column]
                if text is None or is_blank(text):
                    yield BadText(f"row {place} of {self.name}/{name}", BLANK)
                else:
                    number = UNLABELLED if labelled is None else row[labelled]
                    part: Part = "test" if name == self.test_split else "train"
                    yield Document(text, UNLABELLED if number is None else number, part)

    def _splits(self) -> dict[str, Any]:
        wanted = [self.train_split, self.test_split, self.unlabelled_split]
        settings = {"revision": self.revision, "streaming": self.streaming}
        splits = load_splits(self.name, self.configuration, self.train_split, wanted, **settings)
        for name in filter(None, wanted):
            columns = _columns(splits[name])
            if self.text_column not in columns:
                raise InputError(
                    f"{self.name} has no column {self.text_column}: set text_column to one of {', '.join(columns)}."
                )
        return splits

    def _label_column(self, split: Any) -> str | None:
        candidates = [name for name, kind in _columns(split).items() if kind == "ClassLabel"]
        if self.label_column is not None and self.label_column not in candidates:
            raise InputError(
                f"{self.name} has no class labels in a column {self.label_column}: "
                f"{'set label_column to ' + ' or '.join(candidates) if candidates else 'leave label_column out'}."
            )
        return self.label_column or next(iter(candidates), None)


def _columns(split: Any) -> dict[str, str]:
    """Names and types of the columns; a stream may know no types, and its first row has the names."""
    if split.features is None:
        return dict.fromkeys(next(iter(split)), "unknown")
    return {name: type(feature).__name__ for name, feature in split.features.items()}
