"""From any image file to a uint8 tensor of one size."""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F


def to_pixels(image: Image.Image, channels: int) -> Tensor:
    """A decoded image as numbers: upright, grey or colour as asked, transparent areas white, 16 bits cut to 8.

    Args:
        image: in any of Pillow's modes.
        channels: 1 for grey (ITU-R 601 luma), 3 for RGB.

    Returns:
        ``(channels, H, W)`` uint8.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255 instead of scaling it
        image = Image.fromarray((np.asarray(image, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    array = np.array(image.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(array).view(*array.shape[:2], channels).permute(2, 0, 1)


def resize(images: Tensor, size: int) -> Tensor:
    """The shorter side becomes `size` (bilinear, antialiased), and the middle of the longer side stays.

    Args:
        images: ``(B, C, H, W)`` uint8.
        size: height and width wanted, in pixels.

    Returns:
        ``(B, C, size, size)`` uint8; `images` itself when it has that size already.
    """
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    if min(height, width) != size:
        scale = size / min(height, width)
        height, width = max(size, round(height * scale)), max(size, round(width * scale))
        images = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]
