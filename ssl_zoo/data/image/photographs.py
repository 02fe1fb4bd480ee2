"""Images as a person sees them."""

from torch import Tensor
from torch.nn import functional


def shown(inputs: Tensor, fields: dict[str, Tensor] | None) -> Tensor:
    """Images ``(B, C, H, W)`` in [0, 1]: whole photographs in their proportions, on white.

    Args:
        inputs: what encoders see of the images, uint8 in [0, 255] or float in [0, 1].
        fields: `whole` and `aspect` of `ssl_zoo.batch.Batch` where they are more than that.
    """
    if fields is None or "whole" not in fields:
        return inputs if inputs.is_floating_point() else inputs / 255
    whole, side = fields["whole"], inputs.shape[-1]
    whole = whole if whole.is_floating_point() else whole / 255
    canvas = whole.new_ones(*whole.shape[:2], side, side)
    for square, image, aspect in zip(canvas, whole, fields["aspect"].tolist(), strict=True):
        height, width = (max(1, round(side * part)) for part in (min(1, 1 / aspect), min(1, aspect)))
        top, left = (side - height) // 2, (side - width) // 2
        fitted = functional.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
        square[:, top : top + height, left : left + width] = fitted
    return canvas
