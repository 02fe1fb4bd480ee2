"""The images of all parts of a source in one numbering, decoded once into memory where they fit."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.examples import UNLABELLED
from ssl_zoo.data.image.sources.base import ArrayImages, Images, Photographs, rows
from ssl_zoo.data.splits import fixed_order

SAMPLE = 64  # images that are looked at to learn how large and how bright a source's images are
ALMOST = 1 / 16  # of the range, from black or white; where images use so little of it they need a value_range
CHUNK = 64  # images that a thread reads at once


class JoinedImages(Images):
    """Several parts, one after the other.

    Args:
        parts: parts of a data set with at least one image each.
        channels: number of channels of the images.
    """

    def __init__(self, parts: list[Images], channels: int) -> None:
        self.parts, self.channels, self.dtype = parts, channels, parts[0].dtype
        self.ends = torch.tensor([len(part) for part in parts]).cumsum(0)
        unknown = [torch.full((len(part),), UNLABELLED) for part in parts]
        self.labels = torch.cat([u if p.labels is None else p.labels for p, u in zip(parts, unknown, strict=True)])

    def __len__(self) -> int:
        """Number of images."""
        return int(self.ends[-1])

    def read(self, positions: Tensor, size: int) -> Tensor:
        """See `Images`."""
        images = torch.empty(len(positions), self.channels, size, size, dtype=self.dtype)
        for part, mine, local in self._owners(positions):
            images[mine] = part.read(local, size)
        return images

    def read_whole(self, positions: Tensor, size: int, stored_size: int) -> Photographs:
        """See `Images`."""
        shape = (len(positions), self.channels)
        found = Photographs(
            torch.empty(*shape, size, size, dtype=self.dtype),
            torch.empty(*shape, stored_size, stored_size, dtype=self.dtype),
            torch.empty(len(positions)),
        )
        for part, mine, local in self._owners(positions):
            for whole, own in zip(found, part.read_whole(local, size, stored_size), strict=True):
                whole[mine] = own
        return found

    def original(self, position: int) -> Tensor:
        """See `Images`."""
        ((part, _, local),) = self._owners(torch.tensor([position]))
        return part.original(int(local))

    def _owners(self, positions: Tensor) -> Iterator[tuple[Images, Tensor, Tensor]]:
        """Every part that has some of the images, which of them, and their positions in the part."""
        owner = torch.bucketize(positions, self.ends, right=True)
        for number, part in enumerate(self.parts):
            mine = owner == number
            if mine.any():
                yield part, mine, positions[mine] - int(self.ends[number]) + len(part)


class StoredImages(Images):
    """Images that lie in memory as encoders see them, and whole.

    Args:
        pixels: what encoders see of all images, and the whole ones.
        labels: ``(N,)`` int64, or None.
    """

    def __init__(self, pixels: Photographs, labels: Tensor | None) -> None:
        self.pixels, self.labels, self.dtype = pixels, labels, pixels.whole.dtype

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels.middle)

    def read(self, positions: Tensor, size: int) -> Tensor:
        """See `Images`; of the one size that is stored."""
        assert size == self.pixels.middle.shape[-1]
        return rows(self.pixels.middle, positions)

    def read_whole(self, positions: Tensor, size: int, stored_size: int) -> Photographs:
        """See `Images`; of the two sizes that are stored."""
        assert (size, stored_size) == (self.pixels.middle.shape[-1], self.pixels.whole.shape[-1])
        return Photographs(*(rows(each, positions) for each in self.pixels))

    def original(self, position: int) -> Tensor:
        """The whole image, stretched."""
        return self.pixels.whole[position]


class Survey(NamedTuple):
    """What some of a source's images are like.

    Attributes:
        side: the longer side, in pixels, that a tenth of the images exceeds: a panorama among small images
            says nothing of how large these are.
        square: whether each image is square.
        darkest: value, in [0, 1].
        brightest: value, in [0, 1].
    """

    side: int
    square: bool
    darkest: float
    brightest: float


def survey(images: Images) -> Survey:
    """Looks at a random choice of the images, the same at every call."""
    sides, square, darkest, brightest = [], True, 1.0, 0.0
    for position in fixed_order(len(images))[:SAMPLE].tolist():
        image = images.original(position)
        sides.append(max(image.shape[1:]))
        square = square and image.shape[1] == image.shape[2]
        white = 255 if image.dtype == torch.uint8 else 1
        darkest, brightest = min(darkest, float(image.min()) / white), max(brightest, float(image.max()) / white)
    return Survey(sorted(sides)[len(sides) * 9 // 10], square, darkest, brightest)


def whole_size(images: JoinedImages, found: Survey, size: int, stored_size: int | None) -> int | None:
    """How large whole images are kept for views to be cut from.

    Args:
        images: all of a source's.
        found: what they are like.
        size: height and width of what encoders see, in pixels.
        stored_size: height and width of whole images; None for half as much again as `size`, or for what the images
            have if that is less.

    Returns:
        Height and width in pixels; None where all images are squares of which `read` shows everything.
    """
    kept = stored_size or max(size, min(size * 3 // 2, found.side))
    alike = all(isinstance(part, ArrayImages) for part in images.parts)  # so that what was found is true of all
    return None if kept == size and alike and found.square else kept


def keep(
    images: JoinedImages, found: Survey, size: int, stored_size: int | None, in_memory: int, whole: bool = True
) -> tuple[Images, int | None]:
    """The images in memory where they fit, and else as they are; and how large whole ones are kept.

    Args:
        images: all of a source's.
        found: what they are like.
        size: height and width of what encoders see, in pixels.
        stored_size: height and width of whole images, see `whole_size`.
        in_memory: bytes that may be used.
        whole: whether views are to be cut from whole images.

    Returns:
        The images, and the size of whole ones; None when nobody cuts views from them, or when all images are squares of
        which `read` shows everything.

    Raises:
        InputError: a file is damaged.
    """
    kept = whole_size(images, found, size, stored_size) if whole else None
    values = size**2 + (0 if kept is None else kept**2)
    if len(images) * images.channels * values * images.dtype.itemsize > in_memory:
        return images, kept
    if kept is None:
        pixels = torch.empty(len(images), images.channels, size, size, dtype=images.dtype)
        fill([pixels], lambda chunk: (images.read(chunk, size),))
        return ArrayImages(pixels, images.labels), None
    shape = (len(images), images.channels)
    photographs = Photographs(
        torch.empty(*shape, size, size, dtype=images.dtype),
        torch.empty(*shape, kept, kept, dtype=images.dtype),
        torch.empty(len(images)),
    )
    fill(list(photographs), lambda chunk: images.read_whole(chunk, size, kept))
    if kept == size and bool((photographs.aspect == 1).all()):
        return ArrayImages(photographs.middle, images.labels), None
    return StoredImages(photographs, images.labels), kept


def fill(
    arrays: list[Tensor], read: Callable[[Tensor], Iterable[Tensor]], done: Callable[[int], None] | None = None
) -> None:
    """Reads all images, some at a time and several at once.

    Args:
        arrays: what is filled, ``(N, ...)`` each.
        read: gives the rows of every array at some positions.
        done: is called with how many images have been read, now and then.
    """

    def fill_chunk(chunk: Tensor) -> int:
        for array, part in zip(arrays, read(chunk), strict=True):
            array[chunk[0] : chunk[-1] + 1] = part
        return len(chunk)

    # In a forked process, threads that call PyTorch race for its thread pool and may find none: renew it here, first.
    torch.set_num_threads(torch.get_num_threads())
    count = 0
    with ThreadPoolExecutor() as pool:
        for read_here in pool.map(fill_chunk, torch.arange(len(arrays[0])).split(CHUNK)):
            count += read_here
            if done is not None:
                done(count)


def warn_if_flat(found: Survey, name: str) -> None:
    """Warns of images that look empty: files of 12 bits in 16 are common, and black if taken for what they say.

    Args:
        found: what some of the images are like.
        name: the source's name.
    """
    colour = "black" if found.brightest <= ALMOST else "white" if found.darkest >= 1 - ALMOST else None
    if colour is not None:
        warnings.warn(
            f"The images of {name} are nearly {colour}: none of those looked at uses more than a sixteenth of the "
            "range of its type or of `value_range`. Set the source's `value_range` to the values that are black and "
            "white.",
            stacklevel=3,
        )
