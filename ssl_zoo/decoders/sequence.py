"""A decoder of sequences with places: it fills in what stands where the encoder has seen nothing."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.errors import InputError


class SequenceDecoder(nn.Module):
    """A transformer on the vectors of the visible places and one mask vector at all others (MAE, arXiv:2111.06377).

    Args:
        entering: size of the encoder's vectors.
        leaving: size of the vectors that it gives, such as the number of pixels of a patch.
        dim: size of its own vectors.
        depth: transformer layers.
        heads: attention heads; must divide `dim`.

    Raises:
        InputError: `dim` cannot be divided among the heads.
    """

    def __init__(self, entering: int, leaving: int, dim: int = 512, depth: int = 8, heads: int = 16) -> None:
        from transformers import ViTConfig, ViTModel

        super().__init__()
        if heads < 1 or dim % heads:
            raise InputError(
                f"The decoder's width {dim} is not a multiple of its {heads} heads; choose numbers that divide."
            )
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
        self.dim, self.layers, self.norm = dim, trunk.layers, trunk.layernorm
        self.enter, self.leave = nn.Linear(entering, dim), nn.Linear(dim, leaving)
        self.mask_vector = nn.Parameter(0.02 * torch.randn(dim))

    def forward(self, encoded: Encoded, visible: Tensor, wanted: Tensor, positions: Tensor) -> Tensor:
        """Vectors ``(B, M, leaving)`` at the places that are wanted.

        Args:
            encoded: the encoder's vectors of the visible places; nothing in it is padded.
            visible: ``(B, K)`` int64, those places.
            wanted: ``(B, M)`` int64, places among all N.
            positions: ``(N, dim)``, of all places, without which the hidden ones would all be alike.
        """
        known = self.enter(encoded.sequence)
        vectors = self.mask_vector.to(known.dtype).expand(len(known), len(positions), -1)
        vectors = vectors.scatter(1, visible[..., None].expand_as(known), known) + positions
        if encoded.prefix is not None:  # stands for no place and has no position
            vectors = torch.cat([self.enter(encoded.prefix), vectors], dim=1)
        for layer in self.layers:
            vectors = layer(vectors)
        vectors = vectors[:, vectors.shape[1] - len(positions) :]
        return self.leave(self.norm(torch.take_along_dim(vectors, wanted[..., None], dim=1)))
