"""From any decoded image to a tensor: how many channels, how deep, which values are black and white, which size."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.errors import InputError

Depth = Literal["uint8", "float32"]
# What Pillow hands over, or (H, W, C) numbers of a file that it cannot read.
Decoded = Image.Image | np.ndarray

_ORIENTATION = 0x0112  # the EXIF tag; its values and what undoes them
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow has it
_STRIP = 2**22  # pixels that are made opaque at a time
_ROUNDING = 1e-5  # by so much a float may leave [0, 1]: resampling does that


class UnreadableImage(InputError):
    """The fault lies in the file, and a user may want to go on without it."""


class PixelFormat(NamedTuple):
    """What the pixels of every image become.

    Attributes:
        channels: 1 for grey (ITU-R 601 luma), 3 for RGB, any other number for files that have as many.
        dtype: `uint8` in [0, 255], or `float32` in [0, 1], which loses nothing of deeper files.
        value_range: the values of a file that become black and white, what lies outside being cut off; None takes those
            of the file's type, and of floats 0 and 1.
    """

    channels: int = 3
    dtype: Depth = "uint8"
    value_range: tuple[float, float] | None = None

    @property
    def precise(self) -> bool:
        """Whether a file's own values are wanted, not the 8 bits that Pillow would make of them."""
        return self.dtype == "float32" or self.value_range is not None

    def check(self) -> None:
        """Raises `InputError` when a setting is out of its range."""
        if self.channels < 1:
            raise InputError(f"channels is {self.channels}: choose 1 for grey, 3 for colour, or what the files have.")
        if self.dtype not in ("uint8", "float32"):
            raise InputError(f"dtype is {self.dtype}: choose uint8 or float32.")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise InputError(f"value_range is {list(self.value_range)}: give the value of black, then a larger one.")


def to_pixels(image: Decoded, form: PixelFormat, name: str) -> Tensor:
    """A decoded image as numbers: upright, with the channels asked for, transparent areas white.

    Args:
        image: an image in any of Pillow's modes, or ``(H, W, C)`` numbers.
        form: what is wanted.
        name: name of the image, for messages.

    Returns:
        ``(channels, H, W)``, uint8 in [0, 255] or float32 in [0, 1].

    Raises:
        UnreadableImage: it holds values that are no finite numbers.
        InputError: it has another number of channels, or values that no setting explains.
    """
    array = image if isinstance(image, np.ndarray) else _numbers(image, form.channels, name)
    array = _scale(_with_channels(array, form.channels, name), form, name)
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


def _numbers(image: Image.Image, channels: int, name: str) -> np.ndarray:
    """``(H, W, C)`` of the type that the file has."""
    # Pillow scales portable grey maps to 16 bits itself and holds them as it holds files of 32.
    sixteen = image.format == "PPM"
    unsigned = image.format == "TIFF" and image.tag_v2.get(339, (1,)) == (1,)  # type: ignore[attr-defined]  # Pillow's type for TIFF has it, its base class has not
    image = _upright(image)
    if image.mode == "F" or image.mode.startswith("I"):
        array = np.array(image)[..., None]
        array = array.astype(array.dtype.newbyteorder("="))
        if image.mode == "I" and (sixteen or unsigned):
            array = array.astype(np.uint16) if sixteen else array.view(np.uint32)
        return array
    try:
        if channels in (1, 3):
            mode = "L" if channels == 1 else "RGB"
            if image.has_transparency_data:
                return _on_white(image, mode)
            image = image.convert(mode)
        elif image.mode in ("1", "P", "PA"):
            image = image.convert("L" if image.mode == "1" else "RGBA" if image.has_transparency_data else "RGB")
    except ValueError as error:  # no way from this mode to grey or RGB
        raise InputError(
            f"{name} has colours of the mode {image.mode}, not grey or RGB: convert it to RGB first."
        ) from error
    array = np.array(image)
    return array[..., None] if array.ndim == 2 else array


def _on_white(image: Image.Image, mode: str) -> np.ndarray:
    """``(H, W, C)`` uint8 of an image with its transparent areas white, strip by strip: the whole needs five copies."""
    width, height = image.size
    made = np.empty((height, width, len(mode)), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows))).convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert(mode)
        made[top : top + rows] = np.asarray(strip).reshape(strip.height, width, len(mode))
    return made


def _upright(image: Image.Image) -> Image.Image:
    """The image as the camera was held."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block fails in many ways and says nothing of the pixels
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _with_channels(array: np.ndarray, channels: int, name: str) -> np.ndarray:
    """Grey as three equal channels and colour as its luma; other numbers have to be right."""
    found = array.shape[2]
    if found == channels:
        return array
    if (found, channels) == (1, 3):
        return array.repeat(3, axis=2)
    if (found, channels) == (3, 1):
        grey = array @ _LUMA
        return (grey.round() if array.dtype.kind in "iu" else grey).astype(array.dtype)[..., None]
    raise InputError(f"{name} has {found} channels and not {channels}: set the source's `channels` to {found}.")


def _scale(array: np.ndarray, form: PixelFormat, name: str) -> np.ndarray:
    """Values in [0, 255] or [0, 1], as the format says."""
    kind, low_high = array.dtype, form.value_range
    if kind.kind == "f" and not np.isfinite(array).all():
        raise UnreadableImage(
            f"{name} holds values that are no finite numbers: replace them, or remove it (in a folder, on_corrupt may "
            "skip it)."
        )
    if low_high is None and kind in (np.uint8, np.uint16, np.bool_):
        low_high = (0, 1 if kind == np.bool_ else np.iinfo(kind).max)
        if form.dtype == "uint8" and kind != np.bool_:
            return array if kind == np.uint8 else (array >> 8).astype(np.uint8)
    if low_high is None:
        least, most = array.min(), array.max()
        if kind.kind != "f" or least < -_ROUNDING or most > 1 + _ROUNDING:
            sort = "numbers" if kind.kind == "f" else f"whole numbers of type {kind.name}"
            raise InputError(
                f"{name} holds {sort} from {least:g} to {most:g}: set the source's `value_range` to the values that "
                "are black and white in all of the images, such as [0, 255]."
            )
        low_high = (0.0, 1.0)
    low, high = low_high
    unit = np.clip((array.astype(np.float64) - low) / (high - low), 0, 1)
    return (255 * unit).round().astype(np.uint8) if form.dtype == "uint8" else unit.astype(np.float32)


def resize(images: Tensor, size: int) -> Tensor:
    """The shorter side becomes `size` (bilinear, antialiased), and the middle of the longer side stays.

    Args:
        images: ``(B, C, H, W)``, uint8 or float.
        size: height and width wanted, in pixels.

    Returns:
        ``(B, C, size, size)`` of the same type; `images` itself when it has that size already.
    """
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    if min(height, width) != size:
        scale = size / min(height, width)
        # Of a very long strip only what is near the middle is resized; the whole might not fit into memory.
        reach = round(8 * size / scale)
        images = _middle(images, min(height, reach), min(width, reach))
        height, width = images.shape[-2:]
        height, width = max(size, round(height * scale)), max(size, round(width * scale))
        images = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
    return _middle(images, size, size)


def stretch(images: Tensor, size: int) -> Tensor:
    """The whole of every image as ``(B, C, size, size)``, whatever its proportions; arguments as for `resize`."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def _middle(images: Tensor, height: int, width: int) -> Tensor:
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return images[..., top : top + height, left : left + width]
