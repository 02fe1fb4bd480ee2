"""CIFAR-10, CIFAR-100 and STL-10, downloaded and checked by torchvision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.errors import InputError


class CIFAR10(ImageSource):
    """50000 training and 10000 test photographs, colour, 32x32, 10 classes.

    A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The authors state no licence.

    Args:
        root: folder that holds torchvision's cifar-10-batches-py, downloaded (163 MB) where it is missing.
    """

    name = "CIFAR10"
    licence = "none stated by the authors; cite Krizhevsky 2009"
    channels = 3
    image_size = 32

    def __init__(self, root: str | Path = CACHE) -> None:
        self.root = _kept(root)

    def load(self) -> LoadedImages:
        """The official training and test sets."""
        from torchvision import datasets

        return _load_cifar(self, datasets.CIFAR10)


class CIFAR100(ImageSource):
    """50000 training and 10000 test photographs, colour, 32x32, 100 classes.

    A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The authors state no licence.

    Args:
        root: folder that holds torchvision's cifar-100-python, downloaded (161 MB) where it is missing.
    """

    name = "CIFAR100"
    licence = "none stated by the authors; cite Krizhevsky 2009"
    channels = 3
    image_size = 32

    def __init__(self, root: str | Path = CACHE) -> None:
        self.root = _kept(root)

    def load(self) -> LoadedImages:
        """The official training and test sets."""
        from torchvision import datasets

        return _load_cifar(self, datasets.CIFAR100)


class STL10(ImageSource):
    """5000 training and 8000 test photographs, colour, 96x96, 10 classes, and 100000 without labels.

    A. Coates, H. Lee and A. Ng, An Analysis of Single Layer Networks in Unsupervised Feature Learning, AISTATS 2011.
    Taken from ImageNet; the authors state no licence.

    Args:
        root: folder that holds torchvision's stl10_binary, downloaded (2.6 GB) where it is missing.
        unlabelled: pretrain on the images without labels too; probes see the labelled ones in any case.
    """

    licence = "none stated by the authors; images from ImageNet, for research"
    channels = 3
    image_size = 96

    def __init__(self, root: str | Path = CACHE, unlabelled: bool = False) -> None:
        self.root, self.unlabelled = _kept(root), unlabelled
        self.name = "STL10 with unlabelled" if unlabelled else "STL10"

    def load(self) -> LoadedImages:
        """The official training and test sets, and the unlabelled one if asked for."""
        from torchvision import datasets

        train, test = (_fetch(self, datasets.STL10, split=split) for split in ("train", "test"))
        more = _fetch(self, datasets.STL10, split="unlabeled") if self.unlabelled else None
        return LoadedImages(
            ArrayImages(torch.from_numpy(train.data), torch.from_numpy(train.labels).long()),
            ArrayImages(torch.from_numpy(test.data), torch.from_numpy(test.labels).long()),
            None if more is None else ArrayImages(torch.from_numpy(more.data), None),
            list(train.classes),
        )


def _load_cifar(source: CIFAR10 | CIFAR100, dataset: Callable[..., Any]) -> LoadedImages:
    parts = [_fetch(source, dataset, train=train) for train in (True, False)]
    train, test = (
        ArrayImages(torch.from_numpy(np.moveaxis(part.data, 3, 1).copy()), torch.tensor(part.targets)) for part in parts
    )
    return LoadedImages(train, test, None, list(parts[0].classes))


def _kept(root: str | Path) -> str:
    """A user's folder for good; the cache stays below the home of whoever reads it."""
    return str(root) if root == CACHE else resolved(root)


def _fetch(source: CIFAR10 | CIFAR100 | STL10, dataset: Callable[..., Any], **part: Any) -> Any:
    root = Path(source.root).expanduser()
    try:
        return dataset(root, download=True, **part)
    except (OSError, RuntimeError) as error:  # no network, no disk, or a checksum that does not fit
        raise InputError(
            f"{type(source).__name__} is not in {root} and could not be downloaded ({error}): "
            "connect to the network once, or set `root` to a folder that has it."
        ) from error
