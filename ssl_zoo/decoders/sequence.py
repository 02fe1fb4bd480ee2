"""A decoder of sequences with places: it fills in what stands where the encoder has seen nothing."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.errors import InputError


class SequenceDecoder(nn.Module):
    """A transformer on the vectors of the visible places and one mask vector at all others (MAE, arXiv:2111.06377).

    Args:
        entering: size of the encoder's vectors.
        leaving: size of the vectors that it gives, such as the number of pixels of a patch.
        dim: size of its own vectors, a multiple of 4, which positions need, and of `heads`.
        depth: transformer layers.
        heads: attention heads.

    Raises:
        InputError: `dim` cannot be divided so, or there is no layer.
    """

    def __init__(self, entering: int, leaving: int, dim: int = 512, depth: int = 8, heads: int = 16) -> None:
        super().__init__()
        self.dim = dim
        self.layers, self.norm = transformer("The decoder", dim, depth, heads)
        self.enter, self.leave = nn.Linear(entering, dim), nn.Linear(dim, leaving)
        self.mask_vector = nn.Parameter(0.02 * torch.randn(dim))

    def forward(
        self,
        encoded: Encoded,
        visible: Tensor,
        wanted: Tensor,
        positions: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Vectors ``(B, M, leaving)`` at the places that are wanted.

        Args:
            encoded: the encoder's vectors of the visible places; its mask says which of them are.
            visible: ``(B, K)`` int64, those places.
            wanted: ``(B, M)`` int64, places among all N.
            positions: ``(N, dim)``, of all places, without which the hidden ones would all be alike.
            mask: ``(B, N)`` above 0 where a place is real; None where nothing is padded.
        """
        known = self.enter(encoded.sequence)
        nothing = self.mask_vector.to(known.dtype)
        if encoded.mask is not None:  # what fills up a row is no visible place
            known = torch.where(encoded.mask[..., None], known, nothing)
        vectors = nothing.expand(len(known), len(positions), -1)
        vectors = vectors.scatter(1, visible[..., None].expand_as(known), known) + positions
        prefix = 0 if encoded.prefix is None else encoded.prefix.shape[1]
        if encoded.prefix is not None:  # stands for no place and has no position
            vectors = torch.cat([self.enter(encoded.prefix), vectors], dim=1)
        attention_mask = None if mask is None else F.pad(mask > 0, (prefix, 0), value=True)[:, None, None]
        for layer in self.layers:
            vectors = layer(vectors, attention_mask)
        vectors = vectors[:, prefix:]
        return self.leave(self.norm(torch.take_along_dim(vectors, wanted[..., None], dim=1)))


def transformer(owner: str, dim: int, depth: int, heads: int) -> tuple[Any, Any]:
    """The layers of a vision transformer, which take vectors ``(B, N, dim)`` and a mask, and the norm after the last.

    Args:
        owner: what it is a part of, for the message.
        dim: size of the vectors, a multiple of 4, which positions need, and of `heads`.
        depth: transformer layers.
        heads: attention heads.

    Raises:
        InputError: `dim` cannot be divided so, or there is no layer.
    """
    from transformers import ViTConfig, ViTModel

    if heads < 1 or dim % heads:
        raise InputError(f"{owner}'s width {dim} is not a multiple of its {heads} heads; choose numbers that divide.")
    if depth < 1:
        raise InputError(
            f"{owner} has {depth} layers, and without one nothing visible reaches what is predicted: give at least 1."
        )
    if dim % 4 or dim < 1:
        raise InputError(f"{owner}'s width is {dim}; give a multiple of 4, which positions need.")
    config = ViTConfig(
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
        image_size=1,  # its embeddings are left out
        patch_size=1,
    )
    trunk: Any = ViTModel(config, add_pooling_layer=False)
    use_fast_attention(trunk)
    return trunk.layers, trunk.layernorm
