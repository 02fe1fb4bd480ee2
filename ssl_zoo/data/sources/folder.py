"""A user's own images in a folder."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ssl_zoo.data.sources.base import ImageSource, LazyImages, LoadedImages
from ssl_zoo.data.sources.image_files import open_image
from ssl_zoo.data.sources.pixels import Depth, PixelFormat, to_pixels
from ssl_zoo.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".npy")


class ImageFolder(ImageSource):
    """Image files of any size. Sub-folders are classes, in alphabetical order; a folder without any is unlabelled.

    The data and its licence are your own.

    Args:
        root: the folder.
        labels: text file with the label of every image of a folder without sub-folders, one a line, in the order of
            the sorted file names.
        channels: 1 reads the images as grey, 3 as colour; any other number takes the channels that the files have, of
            which a TIFF (with ssl_zoo[tiff]) or an array in .npy may have as many as you like.
        dtype: `uint8` has 8 bits a pixel, whatever the file has; `float32` keeps 16 bits and the values of float files,
            in four times the memory.
        value_range: the values that become black and white in all images, such as [0, 4095] for a camera of 12 bits or
            [-1000, 3000] for Hounsfield units; what lies outside is cut off. Left out, those of the file's type, and of
            floats 0 and 1.
        on_corrupt: what a damaged file does: `stop` ends the run and names it; `skip` opens every file beforehand and
            goes on with the others.
    """

    licence = "the user's own"
    image_size = None

    def __init__(
        self,
        root: str | Path,
        labels: str | Path | None = None,
        channels: int = 3,
        on_corrupt: Literal["stop", "skip"] = "stop",
        dtype: Depth = "uint8",
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.root, self.labels = str(root), None if labels is None else str(labels)
        self.channels, self.on_corrupt, self.dtype = channels, on_corrupt, dtype
        self.value_range = None if value_range is None else (float(value_range[0]), float(value_range[1]))
        self.form.check()
        self.name = f"ImageFolder {Path(root).expanduser().resolve().name}"
        if not Path(root).expanduser().is_dir():
            raise InputError(f"There is no folder {root}: set the source's `root` to a folder of images.")
        if labels is not None and not Path(labels).expanduser().is_file():
            raise InputError(f"There is no file {labels}: set `labels` to a text file with one label a line.")

    def load(self) -> LoadedImages:
        """All images, decoded when they are read."""
        root = Path(self.root).expanduser()
        folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        if folders and self.labels is not None:
            raise InputError(f"{root} has sub-folders, which are its classes: leave out the labels file {self.labels}.")
        classes = [folder for folder in folders if _image_files(root / folder)]
        files = [path for name in classes for path in _image_files(root / name)] if classes else _image_files(root)
        if not files:
            raise InputError(f"There is no image in {root}: put image files or folders of them there.")
        names = [path.relative_to(root).parts[0] for path in files] if classes else self._read_labels(len(files))
        if self.on_corrupt == "skip":
            kept = _readable(files)
            files = [files[place] for place in kept]
            names = None if names is None else [names[place] for place in kept]
        classes = [] if names is None else sorted(set(names))
        labels = None if names is None else torch.tensor([classes.index(name) for name in names])
        return LoadedImages(self._images(files, labels), None, None, classes)

    def _images(self, files: list[Path], labels: Tensor | None) -> LazyImages:
        if not files:
            raise InputError(f"Every image in {self.root} is damaged: set `root` to a folder of images.")
        return LazyImages(len(files), partial(_read_nth, files, self.form), self.form, labels)

    def _read_labels(self, count: int) -> list[str] | None:
        if self.labels is None:
            return None
        labels = Path(self.labels).expanduser().read_text().splitlines()
        if len(labels) != count:
            raise InputError(
                f"{self.labels} has {len(labels)} lines but {self.root} has {count} images: write one label a line, "
                "in the order of the sorted file names."
            )
        return labels


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _read_nth(files: list[Path], form: PixelFormat, position: int) -> Tensor:
    path = files[position]
    return to_pixels(open_image(path, form), form, str(path))


def _readable(files: list[Path]) -> list[int]:
    with ThreadPoolExecutor() as pool:
        good = list(pool.map(_can_be_read, files))
    bad = [str(path) for path, fine in zip(files, good, strict=True) if not fine]
    if bad:
        warnings.warn(f"Left out {len(bad)} damaged image files: {', '.join(bad)}", stacklevel=2)
    return [place for place, fine in enumerate(good) if fine]


def _can_be_read(path: Path) -> bool:
    try:
        open_image(path)
    except InputError:
        return False
    return True
