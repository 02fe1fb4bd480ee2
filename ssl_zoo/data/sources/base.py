"""What an image source is, and the two forms in which it hands over images: an array, or files decoded when needed."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ssl_zoo.data.sources.pixels import resize, to_pixels

# Downloads and tokenized texts; the environment may name another folder.
CACHE = Path(os.environ.get("SSL_ZOO_CACHE", "~/.cache/ssl_zoo"))


class Images(ABC):
    """Images in a fixed order.

    Attributes:
        labels: ``(N,)`` int64, or None when there are none.
    """

    labels: Tensor | None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def read(self, positions: Tensor, size: int) -> Tensor:
        """Some of the images at one size.

        Args:
            positions: ``(B,)`` int64, in [0, N).
            size: height and width wanted, in pixels.

        Returns:
            ``(B, C, size, size)`` uint8.
        """


class ArrayImages(Images):
    """Images that lie in memory.

    Args:
        pixels: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64, or None.
    """

    def __init__(self, pixels: Tensor, labels: Tensor | None) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def read(self, positions: Tensor, size: int) -> Tensor:
        """``(B, C, size, size)`` uint8: one index into the array, then a resize where the size differs."""
        # NumPy copies image by image in this thread; PyTorch would share 200 kB among threads and wait for them
        return resize(torch.from_numpy(self.pixels.numpy()[positions.numpy()]), size)


class LazyImages(Images):
    """Images that are decoded one by one when they are read.

    Args:
        length: number of images.
        decode: opens the image at a position; it must be picklable, for worker processes.
        channels: 1 for grey, 3 for colour.
        labels: ``(N,)`` int64, or None.
    """

    def __init__(self, length: int, decode: Callable[[int], Image.Image], channels: int, labels: Tensor | None) -> None:
        self.length, self.decode, self.channels, self.labels = length, decode, channels, labels

    def __len__(self) -> int:
        """Number of images."""
        return self.length

    def read(self, positions: Tensor, size: int) -> Tensor:
        """``(B, C, size, size)`` uint8."""
        images = torch.empty(len(positions), self.channels, size, size, dtype=torch.uint8)
        for image, position in zip(images, positions.tolist(), strict=True):
            image.copy_(resize(to_pixels(self.decode(position), self.channels)[None], size)[0])
        return images


class LoadedImages(NamedTuple):
    """All that a source has.

    Attributes:
        train: training examples; all of them where there is no official test set.
        test: the official test set, or None.
        unlabelled: further examples to pretrain on, or None.
        classes: names of the classes in label order; empty without labels.
        validation: the official validation set, or None.
    """

    train: Images
    test: Images | None
    unlabelled: Images | None
    classes: list[str]
    validation: Images | None = None

    def in_order(self) -> tuple[Images, Images | None, Images | None, Images | None]:
        """The parts in the order of `ssl_zoo.data.splits.PARTS`, which is that of the examples' positions."""
        return self.train, self.validation, self.test, self.unlabelled


class ImageSource(ABC):
    """One image data set.

    A source is only a description: it can sit in a checkpoint, and nothing is read before `load`. Its attributes hold
    plain numbers and strings, so that `torch.load` accepts them.

    Attributes:
        name: what the data is called in tables.
        licence: under which terms the data may be used.
        channels: 1 for grey, 3 for colour.
        image_size: height and width in pixels; None when the images differ.
    """

    name: str
    licence: str
    channels: int
    image_size: int | None

    def __init_subclass__(cls) -> None:
        """Lets a checkpoint that holds such a source be read with `weights_only`."""
        torch.serialization.add_safe_globals([cls])

    @abstractmethod
    def load(self) -> LoadedImages:
        """Reads the data set, and fetches it first where it is missing.

        Raises:
            InputError: the data is missing and cannot be fetched, or damaged.
        """
