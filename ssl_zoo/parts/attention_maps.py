"""Where a vision transformer looks: what the class token of its last layer attends to, head by head."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import attend, use_attention, use_fast_attention
from ssl_zoo.encoders.vit import ViT
from ssl_zoo.parts.pretext import unit_images

RECORDING = "ssl_zoo_recording"


def class_attention(encoder: ViT, images: Tensor) -> Tensor:
    """Attention of the last layer's class token to the patches (Caron et al., 2021, arXiv:2104.14294, figure 1).

    Args:
        encoder: The network, which attends as before afterwards.
        images: ``(B, C, H, W)``, uint8 or float in [0, 1].

    Returns:
        ``(B, heads, H / stride, W / stride)`` float32: of what a head attends to, the part that falls on every patch;
        the rest of 1 falls on the class token itself and on registers.
    """
    weights: list[Tensor] = []

    def recorded(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> tuple[Tensor, None]:
        scores = query[:, :, :1].float() @ key.float().mT
        weights.append((scores * query.shape[-1] ** -0.5).softmax(-1)[:, :, 0])
        return attend(module, query, key, value, attention_mask, **settings)

    use_attention(encoder.model, RECORDING, recorded)
    try:
        encoder(images)
    finally:
        use_fast_attention(encoder.model)
    rows = images.shape[2] // encoder.stride
    return weights[-1][:, :, encoder.prefix :].unflatten(2, (rows, -1))


def attention_pictures(encoder: nn.Module, images: Tensor) -> dict[str, tuple[Tensor, int, list[str]]]:
    """Images, and below each where every head looks, white where most; for `Method.pictures`.

    Args:
        encoder: The network that is evaluated. Where it is no vision transformer, or the class token is not what it
            pools and nothing may have trained that, there are no pictures.
        images: ``(B, C, H, W)``, uint8 or float in [0, 1].
    """
    if not isinstance(encoder, ViT) or encoder.pooling != "cls":
        return {}
    maps = class_attention(encoder, images)
    shares = maps / maps.amax((2, 3), keepdim=True)
    grey = shares.repeat_interleave(encoder.stride, 2).repeat_interleave(encoder.stride, 3)
    reached = unit_images(images)[..., : grey.shape[2], : grey.shape[3]]
    shown = [reached, *(head[:, None].expand(-1, images.shape[1], -1, -1) for head in grey.unbind(1))]
    names = ["images", *(f"head {number + 1}" for number in range(maps.shape[1]))]
    return {"attention": (torch.cat(shown), len(images), names)}
