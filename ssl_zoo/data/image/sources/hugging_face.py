"""Image data sets in the format of Hugging Face's `datasets`, by name or from a folder."""

import warnings
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ssl_zoo.data.image.sources.base import ImageSource, LazyImages, LoadedImages
from ssl_zoo.data.image.sources.pixels import Depth, PixelFormat, to_pixels
from ssl_zoo.data.sources.contents import Contents
from ssl_zoo.data.sources.files import part_of
from ssl_zoo.data.sources.hub import load_splits, located, warn_of_unused
from ssl_zoo.data.sources.hub_columns import LabelColumn, content_of, find_labels, hashes_of, present_rows, values_of
from ssl_zoo.data.splits import PARTS
from ssl_zoo.errors import InputError


class HuggingFaceImages(ImageSource):
    """An image data set of the Hugging Face hub, or one that `save_to_disk` has written; needs ssl_zoo[hub].

    Its splits called train, validation (or val), test and unlabelled (or unsupervised) are used. Rows without an image
    are left out. The licence is on the data set's page.

    Args:
        name: name on the hub, such as `uoft-cs/cifar10`, or a folder.
        configuration: one of the data set's configurations, where it has several.
        image_column: column of the images; found by its type when left out.
        label_column: column of the labels, of the class-label type, words, whole numbers or truth values; the first
            class-label column when left out, or one called label or labels. None and -1 are no labels.
        channels: 1 reads the images as grey, 3 as colour; any other number takes the channels that they have.
        dtype: `uint8` has 8 bits a pixel; `float32` keeps the values of grey images that have more.
        value_range: the values that become black and white in all images; left out, those of their type.
    """

    licence = "see the data set's page"
    image_size = None

    def __init__(
        self,
        name: str,
        configuration: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        channels: int = 3,
        dtype: Depth = "uint8",
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.name, self.configuration, self.channels, self.dtype = located(name), configuration, channels, dtype
        self.value_range = None if value_range is None else (float(value_range[0]), float(value_range[1]))
        self.form.check()
        self.image_column, self.label_column = image_column, label_column

    def load(self) -> LoadedImages:
        """The splits that are called like official parts, decoded when they are read."""
        splits = load_splits(self.name, self.configuration, "train", [])
        found = {part: (name, splits[name]) for name in reversed(splits) if (part := part_of(name)) is not None}
        if "train" not in found:
            raise InputError(f"{self.name} has no split called train, only {', '.join(splits)}: rename one to train.")
        used = {part: found[part] for part in PARTS if part in found}
        taken = [name for name, _ in used.values()]
        warn_of_unused(self.name, splits, taken, "rename those wanted to train, validation, test or unlabelled")
        features = used["train"][1].features
        image = self.image_column or _first_of_type(features, "Image")
        if image is None:
            raise InputError(f"{self.name} has no image column among {', '.join(features)}: set image_column.")
        if image not in features:
            raise InputError(f"{self.name} has no column {image}: choose from {', '.join(features)}.")
        if type(features[image]).__name__ != "Image":
            raise InputError(f"The column {image} of {self.name} holds no images: choose another image_column.")
        labels = find_labels({name: split for name, split in used.values()}, self.label_column, self.name)
        names: list[str] = []
        rows = {part: present_rows(split, image) for part, (_, split) in used.items()}
        images = {part: self._images(*used[part], rows[part], image, labels, names) for part in used}
        train = images["train"]
        if train is None:
            raise InputError(f"{self.name} has nothing to train on in its column {image}: choose another image_column.")
        content = content_of(split for _, split in used.values())
        return LoadedImages(
            train,
            images.get("test"),
            images.get("unlabelled"),
            labels.classes,
            images.get("validation"),
            names,
            Contents(
                content,
                hashes_of([(split, rows[part]) for part, (_, split) in used.items()], image),
                f"{content}:{image}",
            ),
        )

    def _images(
        self, name: str, split: Any, rows: list[int], image: str, labels: LabelColumn, names: list[str]
    ) -> LazyImages | None:
        """The images of one split that are there, in these rows; adds what they are called to `names`."""
        if len(rows) < len(split):
            count = len(split) - len(rows)
            warnings.warn(f"{self.name}/{name}: left out rows without an image: {count:,}.", stacklevel=3)
        if not rows:
            return None
        names += [f"row {row} of {self.name}/{name}" for row in rows]
        numbers = None
        if labels.classes:
            numbers = torch.tensor(list(labels.numbers(name, values_of(split, labels.column))))[rows]
        return LazyImages(
            len(rows), partial(_read_row, split, image, self.form, rows, names[-len(rows) :]), self.form, numbers
        )


def _first_of_type(features: Any, kind: str) -> str | None:
    return next((column for column, feature in features.items() if type(feature).__name__ == kind), None)


def _read_row(split: Any, column: str, form: PixelFormat, rows: list[int], called: list[str], place: int) -> Tensor:
    try:
        image = split[rows[place]][column]
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises all of these
        raise InputError(f"The {called[place]} has an image that cannot be read: remove it.") from error
    return to_pixels(image, form, f"The {called[place]}")
