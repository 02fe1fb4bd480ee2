"""Random crops of whole photographs of any shape, which lie in one batch because all are stretched to a square.

Padding would do that too, but in a square of T pixels it leaves a photograph of 4:3 only three quarters of them along
its shorter side, where stretching keeps T along both. A box is drawn in the photograph as it was and cut from the
square where it came to lie: what it shows has its true proportions, and every part of the photograph can be in it.
"""

import torch
from torch import Tensor

from ssl_zoo.randomness import Draws
from ssl_zoo.views.image_crop import RandomResizedCrop, crop_boxes, cut_boxes


def cut_whole(crop: RandomResizedCrop, size: int, aspect: Tensor, whole: Tensor, draws: Draws) -> Tensor:
    """One random box of every photograph.

    Args:
        crop: says how boxes are drawn; its own `size`, where it has one, is that of the output.
        size: side of the output in pixels otherwise.
        aspect: ``(B,)`` float32, true width / height of the photographs.
        whole: ``(B, C, T, T)`` float32 in [0, 1].
        draws: ``(B, crop.numbers)``.

    Returns:
        ``(B, C, size, size)`` float32 in [0, 1].
    """
    side = whole.shape[-1]
    # Pixels of the photograph, were its shorter side as long as the square's.
    height, width = (side / aspect.clamp(max=1)).round(), (side * aspect.clamp(min=1)).round()
    top, left, box_height, box_width = crop_boxes(draws.uniform[:, 1:], height, width, crop.scale, crop.ratio)
    size = crop.size or size
    # Their pixels have another length in the square. There a long strip's box is narrower than a pixel; between two
    # pixel centres it would show nothing.
    stretch = side / torch.stack([height, width])
    length = (torch.stack([box_height, box_width]) * stretch).clamp_(min=min(2, side))
    start = (torch.stack([top, left]) * stretch).minimum(side - length)
    return cut_boxes(whole, start, length, (size, size), crop.flipped(draws))
