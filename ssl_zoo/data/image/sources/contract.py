"""Whether a source of the user's own hands over images as it must."""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor

from ssl_zoo.data.image.sources.base import ArrayImages, Images, ImageSource, LoadedImages
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.data.splits import PARTS
from ssl_zoo.errors import InputError
from ssl_zoo.own_code import is_own, own_errors, place_of

_called_twice: set[type] = set()


def load(source: ImageSource) -> LoadedImages:
    """What a source has; that of the user's own is looked at first.

    Args:
        source: any source.

    Raises:
        InputError: the data is missing or damaged, or the source gives something else than images and their labels.
    """
    if not is_own(type(source)):
        return source.load()
    with own_errors():
        loaded = source.load()
        for found, advice in chain(_mistakes(source, loaded), _differences(source, loaded)):
            where = f"{type(source).__name__}.load {found} ({place_of(type(source), 'load')})"
            raise InputError(f"{where}: {advice}.")
    return loaded


def _differences(source: ImageSource, loaded: LoadedImages) -> Iterator[tuple[str, str]]:
    """Whether images in memory are others at the next call, with which no run can be evaluated; tried once."""
    if type(source) in _called_twice or not isinstance(loaded.train, ArrayImages):
        return
    _called_twice.add(type(source))
    again = source.load().train
    if not isinstance(again, ArrayImages) or not torch.equal(again.pixels, loaded.train.pixels):
        yield "gives other images when it is called again", "sort what is listed, and draw with a seed of its own"


def _mistakes(source: ImageSource, loaded: LoadedImages) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do."""
    if not isinstance(loaded, LoadedImages):
        yield f"gives a {type(loaded).__name__}", "return LoadedImages(train, test, unlabelled, classes)"
        return
    for part, images in zip(PARTS, loaded.in_order(), strict=True):
        if images is None and part != "train":
            continue
        if not isinstance(images, Images):
            yield f"gives a {type(images).__name__} as {part}", "make it ArrayImages(pixels, labels)"
            return
        if isinstance(images, ArrayImages):
            yield from _wrong_pixels(images.pixels)
        if len(images):
            yield from _wrong_image(source, images.original(0))
            yield from _wrong_labels(images.labels, len(images), len(loaded.classes), part)
    names, total = loaded.names, sum(0 if images is None else len(images) for images in loaded.in_order())
    if names is not None and len(names) != total:
        yield f"gives {len(names)} names to {total} images", "name every image, or none"
    if loaded.pairs is not None:
        yield from _wrong_pairs(loaded.pairs, total)


def _wrong_pixels(pixels: Tensor) -> Iterator[tuple[str, str]]:
    if not isinstance(pixels, Tensor):
        yield f"gives pixels as a {type(pixels).__name__}", "make them a tensor, with torch.from_numpy or torch.tensor"
    elif pixels.dim() != 4:
        yield f"gives pixels of shape {tuple(pixels.shape)}", "make it (images, channels, height, width)"
    elif pixels.is_floating_point() and len(pixels) and not 0 <= float(pixels.min()) <= float(pixels.max()) <= 1:
        span = f"from {float(pixels.min()):g} to {float(pixels.max()):g}"
        yield f"gives pixels {span}", "floats lie in [0, 1]; bytes are torch.uint8"


def _wrong_image(source: ImageSource, image: Tensor) -> Iterator[tuple[str, str]]:
    if image.dim() != 3 or image.shape[0] != source.channels:
        shape = tuple(image.shape)
        yield f"gives images of shape {shape}", f"they have {source.channels} channels, as the source's `channels` says"
    elif image.dtype != getattr(torch, source.dtype):
        kind = str(image.dtype).removeprefix("torch.")
        yield f"gives pixels of {kind}", f"they are {source.dtype}, as the source's `dtype` says: convert or say so"


def _wrong_pairs(pairs: Pairs, total: int) -> Iterator[tuple[str, str]]:
    for name, numbers, end in (("styles", pairs.styles, len(pairs.names)), ("partners", pairs.partners, total)):
        if not isinstance(numbers, Tensor) or numbers.dtype != torch.int64 or numbers.shape != (total,):
            yield f"gives no {name} of {total} images", f"make {name} of its pairs a tensor ({total},) of torch.int64"
        elif total and not 0 <= int(numbers.min()) <= int(numbers.max()) < end:
            yield (
                f"gives {name} that lie outside of 0 to {end - 1}",
                "number them from 0 on",
            )


def _wrong_labels(labels: Tensor | None, images: int, classes: int, part: str) -> Iterator[tuple[str, str]]:
    if labels is None:
        return
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
        kind = f"a tensor of {labels.dtype}" if isinstance(labels, Tensor) else f"a {type(labels).__name__}"
        yield f"gives labels as {kind}", "make them a tensor (images,) of torch.int64"
    elif len(labels) != images:
        yield f"gives {images} images and {len(labels)} labels as {part}", "give one label per image, -1 where unknown"
    elif not -1 <= int(labels.min()) <= int(labels.max()) < classes:
        outside = int(labels.max()) if int(labels.max()) >= classes else int(labels.min())
        yield f"gives the label {outside}, and {classes} classes", "number classes from 0 on, and name as many"
