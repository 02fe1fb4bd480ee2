"""Images as a user has them, in memory or in files, as inputs of an encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_zoo.data.image.sources.image_files import UnreadableImage, open_image
from ssl_zoo.data.image.sources.pixels import Decoded, PixelFormat, resize, to_pixels
from ssl_zoo.errors import InputError


def images_of(raw: Any, form: PixelFormat, size: int) -> Tensor:
    """Images as a folder of them would give them.

    Args:
        raw: an image, a list of images or one array of several: paths, Pillow's images, NumPy arrays ``(H, W)`` or
            ``(H, W, C)`` or tensors ``(C, H, W)``; uint8 in [0, 255], or float in [0, 1].
        form: what the pixels become.
        size: height and width wanted, in pixels; the shorter side is resized to it and the longer one cropped.

    Returns:
        ``(B, C, size, size)``, uint8 or float32.

    Raises:
        InputError: there is none, or one that cannot be read or has other channels.
    """
    if isinstance(raw, np.ndarray | Tensor) and raw.ndim == 4:
        raw = list(raw)
    images = raw if isinstance(raw, Sequence) and not isinstance(raw, str) else [raw]
    if len(images) == 0:
        raise InputError("There is no image to embed: give one, or a list of some.")
    pixels = [to_pixels(_decoded(image, form), form, f"image {number}") for number, image in enumerate(images)]
    return torch.cat([resize(each[None], size) for each in pixels])


def _decoded(image: Any, form: PixelFormat) -> Decoded:
    if isinstance(image, str | Path):
        path = Path(image).expanduser()
        if not path.is_file():
            raise InputError(f"There is no file {path}: give the path of an image.")
        try:
            return open_image(path, form)
        except UnreadableImage as error:  # its sentence ends with what a source of a run can do
            reason = str(error).removesuffix(": remove it, or set the source's on_corrupt to skip.")
            raise InputError(f"{reason}: mend it or leave it out.") from error
    if isinstance(image, Image.Image):
        return image
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        shape = f" of shape {tuple(array.shape)}" if isinstance(array, np.ndarray) else ""
        raise InputError(
            f"A {type(image).__name__}{shape} is no image: give a path, an image of Pillow's, an array (H, W) or "
            "(H, W, C), or a tensor (C, H, W)."
        )
    if array.size == 0:
        raise InputError(f"An array of shape {tuple(array.shape)} has no pixels: leave it out.")
    if array.ndim == 2:
        return array[..., None]
    first = isinstance(image, Tensor) or (array.shape[0] == form.channels and array.shape[2] != form.channels)
    return np.moveaxis(array, 0, 2) if first else array
