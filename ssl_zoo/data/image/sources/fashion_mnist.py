"""Fashion-MNIST, from Debian's package or through torchvision."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.described import require_files
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.sources.debian import fetch_package
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.errors import InputError

PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


class FashionMNIST(ImageSource):
    """60000 training and 10000 test images of clothes, grey, 28x28, 10 classes.

    H. Xiao, K. Rasul and R. Vollgraf, 2017, arXiv:1708.07747, MIT licence. Without `root` it is looked for where
    Debian's package dataset-fashion-mnist puts it, then in ~/.cache/ssl_zoo, and fetched into the latter if need be.

    Args:
        root: folder with the data set's four .gz files.
    """

    name = "FashionMNIST"
    licence = "MIT"
    channels = 1
    image_size = 28

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = None if root is None else resolved(root)
        self._require_files()

    def _require_files(self) -> None:
        missing = [] if self.root is None else [name for name in FILES if not (Path(self.root) / name).is_file()]
        for name in missing:
            give = "give the folder with Fashion-MNIST's four files, or no root"
            require_files(False, f"There is no {name} in {self.root}: {give}.")

    def load(self) -> LoadedImages:
        """The official training and test sets."""
        self._require_files()
        folder = find_or_fetch() if self.root is None else Path(self.root).expanduser()
        train, test = (
            ArrayImages(_read(folder / images)[:, None], _read(folder / labels).long())
            for images, labels in (FILES[:2], FILES[2:])
        )
        return LoadedImages(train, test, None, CLASSES)


def find_or_fetch() -> Path:
    """The folder with the four files.

    Raises:
        InputError: it is neither here nor to be had.
    """
    cache = CACHE.expanduser()
    raw = cache / "FashionMNIST" / "raw"  # where torchvision puts it
    for folder in (INSTALLED, raw):
        if all((folder / name).is_file() for name in FILES):
            return folder
    try:
        return fetch_package(PACKAGE, cache / "debian") / INSTALLED.relative_to("/")
    except InputError as no_package:  # the other way is tried, and both are named
        try:
            from torchvision import datasets

            datasets.FashionMNIST(cache, download=True)
        except (OSError, RuntimeError) as no_download:
            raise InputError(
                f"Fashion-MNIST is not on this machine and could not be fetched: install Debian's package {PACKAGE}, "
                f"or put {', '.join(FILES)} into {raw}."
            ) from ExceptionGroup("both ways failed", [no_package, no_download])
    return raw


def _read(path: Path) -> Tensor:
    """A gzipped IDX file of bytes: two zeros, the type (8), the number of axes, their big-endian lengths, the data."""
    try:
        content = gzip.decompress(path.read_bytes())
        axes = content[3]
        shape = np.frombuffer(content, ">i4", axes, offset=4)
        return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy())
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and fetch the data set again.") from error
