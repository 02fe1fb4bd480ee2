"""Random crops of whole photographs of any shape, which lie in one batch because all are stretched to a square.

Padding would do that too, but in a square of T pixels it leaves a photograph of 4:3 only three quarters of them along
its shorter side, where stretching keeps T along both. A box is drawn in the photograph as it was and cut from the
square where it came to lie: what it shows has its true proportions, and every part of the photograph can be in it.
"""

from torch import Tensor

from ssl_zoo.views.image_geometry import RandomResizedCrop, apply_separable, crop_boxes, resize_weights


def cut_whole(crop: RandomResizedCrop, whole: Tensor, aspect: Tensor, size: int, keys: Tensor) -> Tensor:
    """One random box of every photograph.

    Args:
        crop: says how boxes are drawn; its own `size`, where it has one, is that of the output.
        whole: ``(B, C, T, T)`` float32 in [0, 1].
        aspect: ``(B,)`` float32, true width / height.
        size: side of the output in pixels otherwise.
        keys: ``(B,)`` int64.

    Returns:
        ``(B, C, size, size)`` float32 in [0, 1].
    """
    side = whole.shape[-1]
    # Pixels of the photograph, were its shorter side as long as the square's.
    height, width = (side / aspect.clamp(max=1)).round(), (side * aspect.clamp(min=1)).round()
    top, left, box_height, box_width = crop_boxes(keys, height, width, crop.scale, crop.ratio)
    vertical = _weights(top, box_height, side / height, side, crop.size or size)
    horizontal = _weights(left, box_width, side / width, side, crop.size or size, crop.flipped(keys))
    return apply_separable(whole, vertical, horizontal)


def _weights(
    start: Tensor, length: Tensor, stretch: Tensor, side: int, size: int, flip: Tensor | None = None
) -> Tensor:
    """`resize_weights` of a stretch of the photograph in a square where its pixels are `stretch` pixels long."""
    # In the square, a long strip's box is narrower than a pixel; between two pixel centres it would show nothing.
    length = (length * stretch).clamp(min=min(2, side))
    return resize_weights((start * stretch).minimum(side - length), length, side, size, flip)
