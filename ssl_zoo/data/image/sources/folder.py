"""A user's own images in a folder."""

import hashlib
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.cache.progress import patient_progress
from ssl_zoo.data.cache.sealed import open_sealed, read_facts, write_facts
from ssl_zoo.data.described import MOVED, require_files
from ssl_zoo.data.image.sources.base import ImageSource, LazyImages, LoadedImages
from ssl_zoo.data.image.sources.image_files import one_large_at_a_time, open_image
from ssl_zoo.data.image.sources.pixels import Depth, PixelFormat, UnreadableImage, to_pixels
from ssl_zoo.data.sources.contents import contents_of
from ssl_zoo.data.sources.files import DataFile, class_numbers, find_files, readable, resolved
from ssl_zoo.data.sources.labels import UNLABELLED, read_label_lines
from ssl_zoo.data.splits import PARTS
from ssl_zoo.errors import InputError

NAMED = 10  # damaged files, in one warning
FORMAT = 1  # raised whenever other files can be read than before
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".npy")


class ImageFolder(ImageSource):
    """Image files of any size. Sub-folders are classes, in alphabetical or numerical order, all others unlabelled.

    Folders called train, val (or validation) and test, in any capitals, are the official parts, and the classes are
    their sub-folders; see `ssl_zoo.data.sources.files.find_files`. A folder called unlabelled serves only for
    pretraining, and so do images beside the folders of the classes. Links are followed, and names that begin with a dot
    skipped. The data and its licence are your own.

    Args:
        root: folder of the images.
        labels: text file with the label of every image of a folder without sub-folders, one a line, in the order of
            the sorted file names; a blank line is no label.
        channels: 1 reads the images as grey, 3 as colour; any other number takes the channels that the files have, of
            which a TIFF (with ssl_zoo[tiff]) or an array in .npy may have as many as you like.
        dtype: `uint8` has 8 bits a pixel, whatever the file has; `float32` keeps 16 bits and the values of float files,
            in four times the memory.
        value_range: the values that become black and white in all images, such as [0, 4095] for a camera of 12 bits or
            [-1000, 3000] for Hounsfield units; what lies outside is cut off. Left out, those of the file's type, and of
            floats 0 and 1.
        on_corrupt: what a file does that is damaged, too large or holds no finite numbers: `stop` ends the run and
            names it; `skip` reads every file once beforehand and goes on with the others.
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
        self.root = resolved(root)
        self.labels = None if labels is None else resolved(labels)
        self.channels, self.on_corrupt, self.dtype = channels, on_corrupt, dtype
        self.value_range = None if value_range is None else (float(value_range[0]), float(value_range[1]))
        self.form.check()
        self.name = f"ImageFolder {readable(Path(self.root).name)}"
        self._require_files()

    def _require_files(self) -> None:
        missing = f"There is no folder {self.root}: set the source's `root` to a folder of images, or {MOVED}."
        require_files(Path(self.root).is_dir(), missing)
        missing = f"There is no file {self.labels}: set `labels` to a text file with one label a line."
        require_files(self.labels is None or Path(self.labels).is_file(), missing)

    def load(self) -> LoadedImages:
        """All images, part by part, decoded when they are read."""
        self._require_files()
        root = Path(self.root)
        labels_file = None if self.labels is None else Path(self.labels)
        files = find_files(root, SUFFIXES, "images", besides=labels_file)
        if not files:
            kinds = ", ".join(sorted(SUFFIXES))
            raise InputError(f"There is no image in {root}: put image files ({kinds}) or folders of them there.")
        if labels_file is not None:
            files = _with_labels(files, root, labels_file)
        contents = contents_of([file.path for file in files])
        if self.on_corrupt == "skip":
            good = _readable([file.path for file in files], contents.version, self.form)
            if not good:
                raise InputError(f"Every image in {self.root} is damaged: set `root` to a folder of images.")
            if len(good) < len(files):
                files = [files[place] for place in good]
                contents = contents_of([file.path for file in files])
        numbers = class_numbers(files)
        parts = {part: self._images([file for file in files if file.part == part], numbers) for part in PARTS}
        if parts["train"] is None:
            raise InputError(f"There is no image to train on in {root}: fill its folder train.")
        return LoadedImages(
            parts["train"],
            parts["test"],
            parts["unlabelled"],
            list(numbers),
            parts["validation"],
            [readable(file.path) for file in files],
            contents,
        )

    def _images(self, files: list[DataFile], numbers: dict[str, int]) -> LazyImages | None:
        if not files:
            return None
        labels = torch.tensor([UNLABELLED if file.label is None else numbers[file.label] for file in files])
        paths = [file.path for file in files]
        return LazyImages(len(files), partial(_read_nth, paths, self.form), self.form, labels if numbers else None)


def _with_labels(files: list[DataFile], root: Path, labels: Path) -> list[DataFile]:
    """The files with the labels that a text file has for them."""
    if any(file.path.parent != root for file in files):
        raise InputError(f"{root} has sub-folders, which are its classes: leave out the labels file {labels}.")
    names = read_label_lines(labels, len(files))
    images = {readable(file.path.name) for file in files}
    for name in filter(None, names):
        if re.split(r"[\s,;:]", name, maxsplit=1)[0].strip("\"'") in images:
            raise InputError(
                f"{labels} has the file name in the line {name!r}: write labels alone, one a line, in the order of the "
                "sorted file names."
            )
    if len(names) != len(files):
        raise InputError(
            f"{labels} has {len(names)} lines but {root} has {len(files)} images: write one label a line, in the order "
            "of the sorted file names."
        )
    return [file._replace(label=name) for file, name in zip(files, names, strict=True)]


def _read_nth(files: list[Path], form: PixelFormat, position: int) -> Tensor:
    path = files[position]
    with one_large_at_a_time(path):
        return to_pixels(open_image(path, form), form, str(path))


def _readable(files: list[Path], version: str, form: PixelFormat) -> list[int]:
    """Positions of the files that can be read, found out once for all runs."""
    described = f"readable:{FORMAT}:{version}:{tuple(form)}"
    folder = CACHE.expanduser() / "images" / hashlib.sha256(described.encode()).hexdigest()[:16]

    def build(empty: Path) -> None:
        with ThreadPoolExecutor() as pool, patient_progress("Looking for damaged images") as show:
            good = []
            for place, fine in enumerate(pool.map(partial(_can_be_read, form), files)):
                good.append(fine)
                show(f"{place + 1:,} of {len(files):,} files", (place + 1) / len(files))
        write_facts(empty / "readable.json", {"good": good, "files": {}})

    good = open_sealed(folder, lambda made: read_facts(made / "readable.json")["good"], build)
    bad = [readable(path) for path, fine in zip(files, good, strict=True) if not fine]
    if bad:
        others = f" and {len(bad) - NAMED:,} others" if len(bad) > NAMED else ""
        warnings.warn(
            f"Left out {'1 image file that is' if len(bad) == 1 else f'{len(bad):,} image files that are'} damaged, "
            f"too large or {'holds' if len(bad) == 1 else 'hold'} no finite numbers: "
            f"{', '.join(bad[:NAMED])}{others}",
            stacklevel=2,
        )
    return [place for place, fine in enumerate(good) if fine]


def _can_be_read(form: PixelFormat, path: Path) -> bool:
    try:
        with one_large_at_a_time(path):
            to_pixels(open_image(path, form), form, readable(path))
    except UnreadableImage:  # which is what is asked
        return False
    return True
