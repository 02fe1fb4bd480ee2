"""A teacher's layers as targets: their outputs, normalised one by one and averaged."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

# What is normalised: each channel over an input's places, each place over its channels, or the first of every layer and
# then the second of their mean.
Normalization = Literal["instance", "layer", "instance_layer"]

EPSILON = 1e-5


def mean_of_layers(outputs: Sequence[Tensor], mask: Tensor | None, normalization: Normalization) -> Tensor:
    """The mean of normalised layers (data2vec, Baevski et al., 2022, arXiv:2202.03555, section 3.3).

    Without a norm, a few large channels of one layer would be all that is predicted, and a constant would be enough.

    Args:
        outputs: ``(B, N, D)`` each, of one layer.
        mask: ``(B, N)`` as in `ssl_zoo.batch.Batch`. Padding is in no mean, and in packed rows every document is
            normalised by itself.
        normalization: `instance` for neighbours that are alike, as in speech, `layer` where they are not, or
            `instance_layer`.

    Returns:
        ``(B, N, D)`` float32; what it has for padding is finite and means nothing.
    """
    with torch.autocast(outputs[0].device.type, enabled=False):
        layers = [output.float() for output in outputs]
        if normalization == "layer":
            normalised = [F.layer_norm(layer, layer.shape[-1:]) for layer in layers]
        else:
            normalised = [instance_norm(layer, mask) for layer in layers]
        mean = torch.stack(normalised).mean(0)
        return F.layer_norm(mean, mean.shape[-1:]) if normalization == "instance_layer" else mean


def instance_norm(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """Zero mean and unit variance of every channel over an input's real places, or over a document's in packed rows.

    Args:
        vectors: ``(B, N, D)`` float32.
        mask: ``(B, N)`` as above.
    """
    if mask is None:
        variance, mean = torch.var_mean(vectors, dim=1, correction=0, keepdim=True)
        return (vectors - mean) * torch.rsqrt(variance + EPSILON)
    # Of each place, or of all alike, the others that it is averaged with.
    company = mask[:, None] if mask.dtype == torch.bool else mask[:, None] == mask[:, :, None]
    shares = company / company.sum(2, keepdim=True).clamp_min(1)
    centred = vectors - shares @ vectors
    return centred * torch.rsqrt(shares @ centred.square() + EPSILON)
