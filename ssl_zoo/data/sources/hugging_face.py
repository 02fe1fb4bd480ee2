"""Image data sets in the format of Hugging Face's `datasets`, by name or from a folder."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ssl_zoo.data.sources.base import ImageSource, LazyImages, LoadedImages
from ssl_zoo.data.sources.hub import load_splits
from ssl_zoo.data.sources.pixels import Depth, PixelFormat, to_pixels
from ssl_zoo.errors import InputError


class HuggingFaceImages(ImageSource):
    """An image data set of the Hugging Face hub, or one that `save_to_disk` has written; needs ssl_zoo[hub].

    Its splits called train and test are used. The licence is on the data set's page.

    Args:
        name: name on the hub, such as `uoft-cs/cifar10`, or a folder.
        configuration: one of the data set's configurations, where it has several.
        image_column: column of the images; found by its type when left out.
        label_column: column of the labels; the first class-label column when left out, and none if there is none.
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
        self.name, self.configuration, self.channels, self.dtype = str(name), configuration, channels, dtype
        self.value_range = None if value_range is None else (float(value_range[0]), float(value_range[1]))
        self.form.check()
        self.image_column, self.label_column = image_column, label_column

    def load(self) -> LoadedImages:
        """The train split and, where there is one, the test split, decoded when they are read."""
        splits = load_splits(self.name, self.configuration, "train", [])
        if "train" not in splits:
            raise InputError(f"{self.name} has no split called train, only {', '.join(splits)}: rename one to train.")
        features = splits["train"].features
        image = self.image_column or _first_of_type(features, "Image")
        label = self.label_column or _first_of_type(features, "ClassLabel")
        for column in (image, label):
            if column is not None and column not in features:
                raise InputError(f"{self.name} has no column {column}: choose from {', '.join(features)}.")
        if image is None:
            raise InputError(f"{self.name} has no image column among {', '.join(features)}: set image_column.")
        names = getattr(features[label], "names", None) if label else []
        if names is None:
            names = [str(value) for value in range(max(splits["train"][label]) + 1)]
        train, test = (self._images(splits.get(split), image, label) for split in ("train", "test"))
        assert train is not None
        return LoadedImages(train, test, None, list(names))

    def _images(self, split: Any, image: str, label: str | None) -> LazyImages | None:
        if split is None:
            return None
        labels = None if label is None else torch.tensor(split[label][:], dtype=torch.int64)
        return LazyImages(len(split), partial(_read_row, split, image, self.form), self.form, labels)


def _first_of_type(features: Any, kind: str) -> str | None:
    return next((column for column, feature in features.items() if type(feature).__name__ == kind), None)


def _read_row(split: Any, column: str, form: PixelFormat, position: int) -> Tensor:
    try:
        image = split[position][column]
        image.load()
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all of these
        raise InputError(f"Row {position} of the data set has an image that cannot be read: remove it.") from error
    return to_pixels(image, form, f"Row {position} of the data set")
