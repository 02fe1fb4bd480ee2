"""Pictures of what a method that hides places predicts there, of images and of spectrograms."""

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Encoder

GREY = 0.5  # what is hidden in pictures


def reconstructions(
    encoder: Encoder, inputs: Tensor, contents: Tensor, is_hidden: Tensor, filled_in: Tensor
) -> dict[str, tuple[Tensor, int, list[str]]]:
    """What `Method.pictures` gives: inputs as they are, what is visible of them, and how the rest is filled in.

    Args:
        encoder: says how places make up a picture.
        inputs: raw inputs ``(B, ...)``.
        contents: ``(B, N, P)``, what is at every place, as `Encoder.contents` gives it.
        is_hidden: ``(B, N)`` bool, which places are hidden.
        filled_in: ``(B, N, P)``, the same with the hidden ones predicted.
    """
    black, white = encoder.content_range
    true, made = (((each - black) / (white - black)).clamp(0, 1) for each in (contents, filled_in))
    rows = [true, true.masked_fill(is_hidden[..., None], GREY), made]
    pictures = encoder.arrange(torch.cat(rows), inputs)
    return {"reconstructions": (pictures, len(inputs), ["inputs", "hidden", "filled in"])}
