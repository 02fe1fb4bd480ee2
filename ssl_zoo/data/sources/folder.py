"""A user's own images in a folder."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from ssl_zoo.data.sources.base import ImageSource, LazyImages, LoadedImages
from ssl_zoo.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFolder(ImageSource):
    """Image files of any size. Sub-folders are classes, in alphabetical order; a folder without any is unlabelled.

    The data and its licence are your own.

    Args:
        root: the folder.
        labels: text file with the label of every image of a folder without sub-folders, one a line, in the order of
            the sorted file names.
        channels: 1 reads the images as grey, 3 as colour.
        on_corrupt: what a damaged file does: `stop` ends the run and names it; `skip` opens every file beforehand and
            goes on with the others.
    """

    licence = "the user's own"
    image_size = None

    def __init__(
        self,
        root: str | Path,
        labels: str | Path | None = None,
        channels: Literal[1, 3] = 3,
        on_corrupt: Literal["stop", "skip"] = "stop",
    ) -> None:
        self.root, self.labels = str(root), None if labels is None else str(labels)
        self.channels, self.on_corrupt = channels, on_corrupt
        self.name = f"ImageFolder {Path(root).expanduser().resolve().name}"
        if not Path(root).expanduser().is_dir():
            raise InputError(f"There is no folder {root}: set the source's `root` to a folder of images.")
        if labels is not None and not Path(labels).expanduser().is_file():
            raise InputError(f"There is no file {labels}: set `labels` to a text file with one label a line.")
        if channels not in (1, 3):
            raise InputError(f"channels is {channels}: choose 1 for grey or 3 for colour.")

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
        return LazyImages(len(files), partial(_open_nth, files), self.channels, labels)

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


def _open_nth(files: list[Path], position: int) -> Image.Image:
    return open_image(files[position])


def open_image(path: Path) -> Image.Image:
    """The decoded image.

    Raises:
        InputError: the file is no image, or damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises all of these
        raise InputError(f"{path} is no image that can be read: remove it, or set on_corrupt to skip.") from error


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
