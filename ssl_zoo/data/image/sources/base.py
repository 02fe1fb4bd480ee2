"""What an image source is, and the two forms in which it hands over images: an array, or files decoded when needed."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.image.sources.pixels import Depth, PixelFormat, resize, stretch
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.data.sources.contents import Contents, digest_of_pixels
from ssl_zoo.rebuilding import Rebuildable


class Photographs(NamedTuple):
    """Images of any shape, as what encoders see and as what views are cut from; both uint8, or both float32.

    Attributes:
        middle: ``(B, C, S, S)``: the shorter side became S pixels long, and the middle of the longer one stayed.
        whole: ``(B, C, T, T)``: all of every image, stretched to a square.
        aspect: ``(B,)`` float32, width / height.
    """

    middle: Tensor
    whole: Tensor
    aspect: Tensor


class Images(ABC):
    """Images in a fixed order.

    Attributes:
        labels: ``(N,)`` int64, or None when there are none.
        dtype: type of the pixels: uint8 in [0, 255] or float32 in [0, 1].
    """

    labels: Tensor | None
    dtype: torch.dtype = torch.uint8

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
            ``(B, C, size, size)``.
        """

    @abstractmethod
    def read_whole(self, positions: Tensor, size: int, stored_size: int) -> Photographs:
        """Some of the images, as encoders see them and whole.

        Args:
            positions: ``(B,)`` int64, in [0, N).
            size: height and width of what encoders see, in pixels.
            stored_size: height and width of the whole images.
        """

    @abstractmethod
    def original(self, position: int) -> Tensor:
        """``(C, H, W)``, one image in its own size."""


class ArrayImages(Images):
    """Images that lie in memory.

    Args:
        pixels: ``(N, C, H, W)``, uint8 or float32.
        labels: ``(N,)`` int64, or None.
    """

    def __init__(self, pixels: Tensor, labels: Tensor | None) -> None:
        self.pixels, self.labels, self.dtype = pixels, labels, pixels.dtype

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def read(self, positions: Tensor, size: int) -> Tensor:
        """``(B, C, size, size)``: one index into the array, then a resize where the size differs."""
        return resize(rows(self.pixels, positions), size)

    def read_whole(self, positions: Tensor, size: int, stored_size: int) -> Photographs:
        """See `Images`."""
        images = rows(self.pixels, positions)
        aspect = torch.full((len(positions),), images.shape[3] / images.shape[2])
        return Photographs(resize(images, size), stretch(images, stored_size), aspect)

    def original(self, position: int) -> Tensor:
        """See `Images`."""
        return self.pixels[position]


class LazyImages(Images):
    """Images that are decoded one by one when they are read.

    Args:
        length: number of images.
        decode: gives the image at a position as `to_pixels` does; it must be picklable, for worker processes.
        form: the format of the pixels that `decode` gives.
        labels: ``(N,)`` int64, or None.
    """

    def __init__(self, length: int, decode: Callable[[int], Tensor], form: PixelFormat, labels: Tensor | None) -> None:
        self.length, self.decode, self.channels, self.labels = length, decode, form.channels, labels
        self.dtype = getattr(torch, form.dtype)

    def __len__(self) -> int:
        """Number of images."""
        return self.length

    def read(self, positions: Tensor, size: int) -> Tensor:
        """See `Images`."""
        images = torch.empty(len(positions), self.channels, size, size, dtype=self.dtype)
        for image, position in zip(images, positions.tolist(), strict=True):
            image.copy_(resize(self.decode(position)[None], size)[0])
        return images

    def read_whole(self, positions: Tensor, size: int, stored_size: int) -> Photographs:
        """See `Images`; every image is decoded once."""
        shape = (len(positions), self.channels)
        middle = torch.empty(*shape, size, size, dtype=self.dtype)
        whole = torch.empty(*shape, stored_size, stored_size, dtype=self.dtype)
        aspect = torch.empty(len(positions))
        for number, position in enumerate(positions.tolist()):
            image = self.decode(position)[None]
            middle[number], whole[number] = resize(image, size)[0], stretch(image, stored_size)[0]
            aspect[number] = image.shape[3] / image.shape[2]
        return Photographs(middle, whole, aspect)

    def original(self, position: int) -> Tensor:
        """See `Images`."""
        return self.decode(position)


def rows(array: Tensor, positions: Tensor) -> Tensor:
    """``(B, ...)``, the rows of an array ``(N, ...)`` at positions ``(B,)``."""
    # NumPy copies image by image in this thread; PyTorch would share 200 kB among threads and wait for them
    return torch.from_numpy(array.numpy()[positions.numpy()])


class LoadedImages(NamedTuple):
    """All that a source has.

    Attributes:
        train: training examples; all of them where there is no official test set.
        test: the official test set, or None.
        unlabelled: further examples to pretrain on, or None.
        classes: names of the classes in label order; empty without labels.
        validation: the official validation set, or None.
        names: what the images are called, such as the paths of their files, in the order of `in_order`; or None.
        contents: contents of the images' files in that order; None leaves it to the pixels to say what data it is.
        pairs: images, in that order, that show the same in two styles; None where nobody knows of any.
    """

    train: Images
    test: Images | None
    unlabelled: Images | None
    classes: list[str]
    validation: Images | None = None
    names: Sequence[str] | None = None
    contents: Contents | None = None
    pairs: Pairs | None = None

    def in_order(self) -> tuple[Images, Images | None, Images | None, Images | None]:
        """The parts in the order of `ssl_zoo.data.splits.PARTS`, which is that of the examples' positions."""
        return self.train, self.validation, self.test, self.unlabelled

    @property
    def identity(self) -> str:
        """Hex digits that follow from the images, their labels and their parts, not from where they lie."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for images in self.in_order():
            digest.update(f"/{0 if images is None else len(images)}:".encode())
            if images is not None and images.labels is not None:
                digest.update(images.labels.numpy().astype("<i8").tobytes())
            if isinstance(images, ArrayImages) and self.contents is None:
                digest.update(digest_of_pixels(images.pixels).encode())
        digest.update((self.contents.digest if self.contents is not None else "").encode())
        return digest.hexdigest()[:16]


class ImageSource(Rebuildable, ABC):
    """One image data set.

    A source is only a description: it can sit in a checkpoint, and nothing is read before `load`. Its attributes hold
    plain numbers and strings, so that `torch.load` accepts them.

    Attributes:
        name: what the data is called in tables.
        licence: under which terms the data may be used.
        channels: 1 for grey, 3 for colour, or any other number.
        dtype: `uint8`, or `float32` where more than 8 bits are kept.
        value_range: the values of files that become black and white; None takes those of their type.
        image_size: height and width in pixels; None when the images differ.
    """

    name: str
    licence: str
    channels: int
    dtype: Depth = "uint8"
    value_range: tuple[float, float] | None = None
    image_size: int | None

    @property
    def form(self) -> PixelFormat:
        """What the pixels of every image become."""
        return PixelFormat(self.channels, self.dtype, self.value_range)

    def __init_subclass__(cls) -> None:
        """Lets a checkpoint that holds such a source be read with `weights_only`."""
        torch.serialization.add_safe_globals([cls])

    @abstractmethod
    def load(self) -> LoadedImages:
        """Reads the data set, and fetches it first where it is missing.

        Raises:
            InputError: the data is missing and cannot be fetched, or damaged.
        """
