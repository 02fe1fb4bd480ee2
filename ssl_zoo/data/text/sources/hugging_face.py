"""Text data sets in the format of Hugging Face's `datasets`, by name or from a folder."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ssl_zoo.data.sources.files import identity_of
from ssl_zoo.data.sources.hub import load_splits, located, warn_of_unused
from ssl_zoo.data.sources.hub_columns import LabelColumn, columns_of, find_labels
from ssl_zoo.data.splits import Part
from ssl_zoo.data.text.sources.base import UNLABELLED, BadText, Document, TextSource
from ssl_zoo.data.text.sources.contents import BLANK, is_blank
from ssl_zoo.errors import InputError


class HuggingFaceText(TextSource):
    """A text data set of the Hugging Face hub, or one that `save_to_disk` has written; needs ssl_zoo[hub].

    Rows without text are bad ones, of which the data's `on_error` says what they do. The licence is on the data set's
    page.

    Args:
        name: name on the hub, such as `stanfordnlp/imdb`, or a folder.
        configuration: one of the data set's configurations, where it has several.
        text_column: column of the texts.
        label_column: column of the labels, of the class-label type, words, whole numbers or truth values; the first
            class-label column when left out, or one called label or labels. None and -1 are no labels.
        train_split: split to train on.
        test_split: split that is the official test set; none when left out.
        unlabelled_split: split to pretrain on besides, whose labels do not count.
        streaming: read over the network without keeping the data set on the disk.
        max_documents: read only so many rows of every split; all when left out.
        validation_split: split that is the official validation set; none when left out.
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
        validation_split: str | None = None,
    ) -> None:
        if max_documents is not None and max_documents < 1:
            raise InputError(f"max_documents is {max_documents}: it must be at least 1.")
        self.name, self.configuration, self.revision = located(name), configuration, revision
        self.text_column, self.label_column = text_column, label_column
        self.train_split, self.test_split, self.unlabelled_split = train_split, test_split, unlabelled_split
        self.validation_split = validation_split
        self.streaming, self.max_documents = streaming, max_documents

    @property
    def classes(self) -> list[str]:
        """Names of the classes of the label column."""
        return self._labels(self._splits()).classes

    def fingerprint(self) -> str:
        """The arguments, and what identifies a folder's files."""
        # Its settings keep the folder as it was typed, and streaming changes no document.
        facts = {name: value for name, value in vars(self).items() if name not in ("settings", "streaming")}
        described = [f"{name}={value}" for name, value in sorted(facts.items())]
        folder = Path(self.name)
        if folder.is_dir():
            described += [identity_of(path) for path in sorted(path for path in folder.rglob("*") if path.is_file())]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()

    def documents(self) -> Iterator[Document | BadText]:
        """The rows of the training, the validation, the test and the unlabelled split."""
        splits = self._splits()
        labels = self._labels(splits)
        warn_of_unused(self.name, splits, self._parts(), "name those wanted in test_split, validation_split and so on")
        for name, part in self._parts().items():
            labelled = labels.column if name in labels.declared and labels.column in columns_of(splits[name]) else None
            columns = [self.text_column] if labelled in (None, self.text_column) else [self.text_column, labelled]
            rows = splits[name].select_columns(columns)
            for place, row in enumerate(islice(rows, self.max_documents)):
                text = row[self.text_column]
                if text is None or is_blank(text):
                    yield BadText(f"row {place} of {self.name}/{name}", BLANK)
                else:
                    number = UNLABELLED if labelled is None else next(labels.numbers(name, [row[labelled]]))
                    yield Document(text, number, part, f"row {place} of {self.name}/{name}")

    def _parts(self) -> dict[str, Part]:
        """The official part of every split that is used."""
        parts: dict[str | None, Part] = {
            self.unlabelled_split: "unlabelled",
            self.test_split: "test",
            self.validation_split: "validation",
            self.train_split: "train",
        }
        return {name: parts[name] for name in reversed(parts) if name is not None}

    def _splits(self) -> dict[str, Any]:
        wanted = list(self._parts())
        settings = {"revision": self.revision, "streaming": self.streaming}
        splits = load_splits(self.name, self.configuration, self.train_split, wanted, **settings)
        for name in wanted:
            columns = columns_of(splits[name])
            if self.text_column not in columns:
                raise InputError(
                    f"{self.name} has no column {self.text_column}: set text_column to one of {', '.join(columns)}."
                )
        return splits

    def _labels(self, splits: dict[str, Any]) -> LabelColumn:
        """Of all splits but the unlabelled one."""
        labelled = {name: splits[name] for name, part in self._parts().items() if part != "unlabelled"}
        return find_labels(labelled, self.label_column, self.name, self.max_documents)
