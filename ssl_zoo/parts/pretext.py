"""What methods share that make labels out of an image's own layout, and then predict them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError


def require_images(encoder: Encoder, method: str, what: str, such: str = "ResNet") -> None:
    """Raise `InputError` unless the encoder reads images.

    Args:
        encoder: the encoder.
        method: name of the method, for the message.
        what: what it does to images, such as `turns images`.
        such: name of an encoder that can be taken.
    """
    if encoder.modality != "image":
        read = "spectrograms, whose two sides are time and pitch" if encoder.modality == "audio" else "texts"
        raise InputError(
            f"{method} {what}, and {type(encoder).__name__} reads {read}: take an encoder of images, such as {such}."
        )


def classified(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Terms of a method that predicts labels which it has made itself.

    Args:
        logits: ``(N, K)``, scores of the K labels, of which each is right equally often.
        labels: ``(N,)`` int64, in [0, K).

    Returns:
        Scalars in float32: `loss`, the mean cross-entropy in nats; `accuracy`, how often the highest score is right;
        and `chance`, how often a guess is, 1 / K.
    """
    accuracy = (logits.detach().argmax(1) == labels).float().mean()
    chance = torch.full_like(accuracy, 1 / logits.shape[1])
    return {"loss": F.cross_entropy(logits.float(), labels), "accuracy": accuracy, "chance": chance}


def unit_images(inputs: Tensor) -> Tensor:
    """Images ``(B, C, H, W)`` in [0, 1], of uint8 ones or of such that are so already."""
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
