"""Photographs decoded once: kept on the disk at the sizes that runs ask for, and mapped into memory ever after."""

import hashlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.cache import folder as cache_folder
from ssl_zoo.data.cache.mapped import MappedArray, seal_of
from ssl_zoo.data.cache.progress import patient_progress
from ssl_zoo.data.cache.sealed import is_writable, open_sealed, read_facts, write_facts
from ssl_zoo.data.image.kept_images import JoinedImages, Survey, fill, survey, whole_size
from ssl_zoo.data.image.sources.base import Images, Photographs
from ssl_zoo.data.image.sources.pixels import PixelFormat

CACHE = cache_folder.CACHE / "images"
# Raised whenever the files below change, or what is written into them.
FORMAT = 1
# At most this part of what is free on the disk is taken.
SHARE = 0.5
ARRAYS = Photographs._fields
DTYPES = {torch.uint8: "|u1", torch.float32: "<f4"}


class NoRoom(Exception):
    """The disk has too little room; the message says how much is wanted and how much is free."""


class DecodedImages(Images):
    """Images in files of the cache, as encoders see them and whole; a worker process gets the paths, not the pixels.

    Args:
        folder: made by `open_decoded`.

    Attributes:
        found: what some of the images are like in their own size.
        kept: height and width of the whole images; None where there are none besides what encoders see.

    Raises:
        Damaged: a file is missing or not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        facts = read_facts(folder / "images.json")
        self.labels: Tensor | None = None
        self.found, self.kept, self.dtype = Survey(*facts["found"]), facts["kept"], getattr(torch, facts["dtype"])
        self._shapes: dict[str, list[int]] = facts["shapes"]
        self._arrays = {
            name: MappedArray(folder / f"{name}.bin", "<f4" if name == "aspect" else DTYPES[self.dtype])
            for name in self._shapes
        }

    def __len__(self) -> int:
        """Number of images."""
        return self._shapes["middle"][0]

    def read(self, positions: Tensor, size: int) -> Tensor:
        """See `Images`; of the one size that is kept."""
        assert size == self._shapes["middle"][-1]
        return self._rows("middle", positions)

    def read_whole(self, positions: Tensor, size: int, stored_size: int) -> Photographs:
        """See `Images`; of the two sizes that are kept."""
        assert (size, stored_size) == (self._shapes["middle"][-1], self.kept)
        return Photographs(*(self._rows(name, positions) for name in ARRAYS))

    def original(self, position: int) -> Tensor:
        """The whole image, stretched; or what encoders see where nothing else is kept."""
        name = "middle" if self.kept is None else "whole"
        return self._rows(name, torch.tensor([position]))[0]

    def _rows(self, name: str, positions: Tensor) -> Tensor:
        return torch.from_numpy(self._arrays[name].values.reshape(self._shapes[name])[positions.numpy()])


def open_decoded(
    name: str, images: JoinedImages, version: str, form: PixelFormat, size: int, stored_size: int | None, whole: bool
) -> DecodedImages | None:
    """A source's images from the cache, where they are put if need be, once for all processes of the machine.

    Args:
        name: what the data is called in messages.
        images: all of the source's.
        version: text that changes whenever the files do.
        form: the format of the pixels.
        size: height and width of what encoders see, in pixels.
        stored_size: height and width of whole images, see `ssl_zoo.data.image.kept_images.whole_size`.
        whole: whether views are to be cut from whole images.

    Returns:
        The images; None, with a warning, where the cache cannot be written or the disk has too little room.

    Raises:
        InputError: a file is damaged.
    """
    described = f"{FORMAT}:{version}:{tuple(form)}:{len(images)}:{size}:{stored_size}:{whole}"
    folder = CACHE.expanduser() / hashlib.sha256(described.encode()).hexdigest()[:16]
    if not folder.is_dir() and not is_writable(folder.parent):
        _warn(name, f"the cache {folder.parent} cannot be written")
        return None
    try:
        found = open_sealed(folder, DecodedImages, lambda empty: _build(empty, name, images, size, stored_size, whole))
    except NoRoom as reason:  # the run goes on without, and the user learns how to have it otherwise
        _warn(name, str(reason))
        return None
    found.labels = images.labels
    return found


def _warn(name: str, reason: str) -> None:
    warnings.warn(
        f"The images of {name} are decoded at every start and not kept, as {reason}: make room, or set the "
        "environment's SSL_ZOO_CACHE to a folder on another disk.",
        stacklevel=4,
    )


def _build(folder: Path, name: str, images: JoinedImages, size: int, stored_size: int | None, whole: bool) -> None:
    """Fills an empty folder; what an error leaves of it, which may be large, is removed."""
    try:
        _decode_into(folder, name, images, size, stored_size, whole)
    except BaseException:  # Ctrl-C too: half of a cache is none
        shutil.rmtree(folder, ignore_errors=True)  # the error that is raised says more
        raise


def _decode_into(
    folder: Path, name: str, images: JoinedImages, size: int, stored_size: int | None, whole: bool
) -> None:
    with patient_progress(f"Decoding {name}") as show:
        found = survey(images)
        kept = whole_size(images, found, size, stored_size) if whole else None
        shapes = {"middle": [len(images), images.channels, size, size]}
        if kept is not None:
            shapes |= {"whole": [len(images), images.channels, kept, kept], "aspect": [len(images)]}
        arrays = {
            field: np.empty(shape, "<f4")
            if field == "aspect"
            else _reserve(folder / f"{field}.bin", DTYPES[images.dtype], shape)
            for field, shape in _checked(folder, images, shapes).items()
        }

        def shown(done: int) -> None:
            show(f"{done:,} of {len(images):,} images", done / len(images))

        tensors = [torch.from_numpy(array) for array in arrays.values()]
        if kept is None:
            fill(tensors, lambda chunk: (images.read(chunk, size),), shown)
        else:
            wanted = kept
            fill(tensors, lambda chunk: images.read_whole(chunk, size, wanted), shown)
            if kept == size and bool((arrays["aspect"] == 1).all()):  # what encoders see is all of every image
                kept = None
                shapes = {"middle": shapes["middle"]}
                (folder / "whole.bin").unlink()
            else:
                arrays["aspect"].tofile(folder / "aspect.bin")
        show("checking what was written", None)
        for array in arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        seals = {f"{field}.bin": seal_of(folder / f"{field}.bin") for field in shapes}
    facts = {"found": found, "kept": kept, "dtype": str(images.dtype).removeprefix("torch."), "shapes": shapes}
    write_facts(folder / "images.json", {**facts, "files": seals})


def _checked(folder: Path, images: JoinedImages, shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """The shapes, where the disk has room for them."""
    wanted = sum(int(np.prod(shape)) * images.dtype.itemsize for shape in shapes.values())
    free = shutil.disk_usage(folder).free
    if wanted > SHARE * free:
        raise NoRoom(f"they would take {wanted / 1e9:.1f} GB of the {free / 1e9:.1f} GB free in {folder.parent}")
    return shapes


def _reserve(path: Path, dtype: str, shape: list[int]) -> np.memmap:
    """A file of this size on the disk: one that found no room while it is written to would kill the process."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:  # another process was faster
        raise NoRoom(f"{path.parent.parent} has no room for them ({error.strerror})") from error
    return np.memmap(path, dtype, "r+", shape=tuple(shape))
