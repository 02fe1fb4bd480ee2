"""Image files: Pillow reads them, and others what Pillow cannot read or would cut down to 8 bits."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ssl_zoo.data.image.sources.pixels import Decoded, PixelFormat, UnreadableImage
from ssl_zoo.errors import InputError

# As RGB this is 3 GB. Pillow's own limit, a fifth of it, is smaller than many a scan and satellite image.
LIMIT = 10**9
Image.MAX_IMAGE_PIXELS = LIMIT
LARGE = 5 * 10**7  # pixels; a photograph has fewer, and as many threads as decode at once do not fill the memory
_one_large = threading.Lock()
TIFF = (".tif", ".tiff")
_BITS, _SAMPLE_FORMAT, _SIGNED = 258, 339, 2  # TIFF tags, and the value of the second for signed numbers


@contextmanager
def one_large_at_a_time(path: Path) -> Iterator[None]:
    """Within, no other thread decodes a large image: several at once, of some gigabytes each, may not fit into memory.

    Args:
        path: the file; what is no image, or of a kind that Pillow cannot read, counts by its bytes.
    """
    try:
        with Image.open(path) as image:
            size = math.prod(image.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        # `open_image` says what is wrong with it
        size = path.stat().st_size if path.is_file() else 0
    with _one_large if size > LARGE else nullcontext():
        yield


def open_image(path: Path, form: PixelFormat | None = None) -> Decoded:
    """The decoded image.

    Args:
        path: a file of any format that Pillow reads, a TIFF of any type and number of channels, or an array in `.npy`.
        form: what is wanted of it; decides who reads a file that Pillow would cut down to 8 bits or to colour.

    Raises:
        UnreadableImage: the file is no image, damaged or too large.
        InputError: reading it needs a package that is not there.
    """
    form = form or PixelFormat()
    try:
        if path.suffix.lower() == ".npy":
            return _arranged(_read_array(path), form.channels, axes="", path=path)
        return _open_image(path, form)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path) from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all of these
        raise UnreadableImage(
            f"{path} is no image that can be read: remove it, or set the source's on_corrupt to skip."
        ) from error


def _open_image(path: Path, form: PixelFormat) -> Decoded:
    is_tiff = path.suffix.lower() in TIFF
    if is_tiff and form.channels not in (1, 3):  # Pillow knows neither five channels nor channels that are no colour
        return _read_tiff(path, form.channels)
    try:
        with Image.open(path) as image:
            if math.prod(image.size) > LIMIT:
                raise _too_large(path)
            if is_tiff and _pillow_loses(image, form):
                return _read_tiff(path, form.channels)
            if image.format == "PNG" and form.precise and len(image.getbands()) > 1:
                if any(str(tile.args).endswith(";16B") for tile in image.tile):
                    return _read_deep_png(path, form.channels)
            image.load()
            return image
    except UnidentifiedImageError:
        if is_tiff and path.read_bytes()[:2] in (b"II", b"MM"):
            return _read_tiff(path, form.channels)
        raise


def _pillow_loses(image: Image.Image, form: PixelFormat) -> bool:
    """Whether Pillow would read signed bytes as unsigned ones, or cut colours of 16 bits down to 8."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # a TIFF has them
    bits = max(np.atleast_1d(tags.get(_BITS, 1)))
    signed_bytes = bits == 8 and _SIGNED in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1))
    return bool(signed_bytes or (form.precise and bits > 8 and len(image.getbands()) > 1))


def _read_tiff(path: Path, channels: int) -> np.ndarray:
    """``(H, W, C)`` of any type, by tifffile; several pages of one channel are channels where as many are wanted."""
    try:
        import tifffile
    except ImportError as error:
        raise InputError(f"{path} needs the package tifffile: install ssl_zoo[tiff].") from error
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if math.prod(series.shape) > max(4, channels) * LIMIT:
                raise _too_large(path)
            return _arranged(series.asarray(), channels, series.axes, path)
    except (InputError, OSError):
        raise
    except Exception as error:  # a damaged file fails in many ways, and some compressions need another package
        reason = " ".join(str(error).split())[:120]
        raise UnreadableImage(
            f"{path} is no image that can be read ({reason}): remove it, or set the source's on_corrupt to skip."
        ) from error


def _read_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, with all that can go wrong there
        raise UnreadableImage(
            f"{path} is no array that can be read: remove it, or set the source's on_corrupt to skip."
        ) from error


def _arranged(array: np.ndarray, channels: int, axes: str, path: Path) -> np.ndarray:
    """Channels last.

    Args:
        array: array of the file.
        channels: how many are wanted.
        axes: a letter for each axis, S being that of colours; empty where the file does not say.
        path: path of the file, for messages.
    """
    if array.ndim == 2:
        array = array[..., None]
    elif "S" in axes:
        array = np.moveaxis(array, axes.index("S"), -1)
        while array.ndim > 3:  # of several pages the first, as with every other format
            array = array[0]
    elif axes and array.ndim == 3:
        pages_are_channels = channels not in (1, 3) or len(array) == channels
        array = np.moveaxis(array if pages_are_channels else array[:1], 0, -1)
    elif array.ndim == 3 and array.shape[2] != channels and len(array) < array.shape[2]:
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"{path} holds an array of shape {array.shape}: an image is height x width x channels.")
    return array


def _read_deep_png(path: Path, channels: int) -> np.ndarray:
    """``(H, W, C)`` uint16; as with 8 bits, transparent areas are white unless their channel is asked for."""
    from torchvision.io import ImageReadMode, decode_image

    try:
        array = decode_image(str(path), mode=ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    except RuntimeError as error:
        raise UnreadableImage(
            f"{path} is no image that can be read: remove it, or set the source's on_corrupt to skip."
        ) from error
    if array.shape[2] in (2, 4) and channels in (1, 3):
        alpha = array[..., -1:] / 65535
        array = (array[..., :-1] * alpha + 65535 * (1 - alpha)).round().astype(np.uint16)
    return array


def _too_large(path: Path) -> UnreadableImage:
    return UnreadableImage(
        f"{path} is too large: an image may have up to {LIMIT // 10**6:,} million pixels; make it smaller or cut it up."
    )
