"""A narrow transformer that says what stands at some places, given what an encoder has made of others."""

import torch
from torch import Tensor, nn

from ssl_zoo.decoders.sequence import transformer


class PlacePredictor(nn.Module):
    """I-JEPA's predictor (Assran et al., 2023, arXiv:2301.08243, section 3): a ViT on a context and one block.

    The block is the same mask vector at each of its places, with the position of that place.

    Args:
        entering: size of the encoder's vectors.
        leaving: size of the vectors that it predicts.
        dim: size of its own vectors, a multiple of 4, which positions need, and of `heads`.
        depth: transformer layers.
        heads: attention heads.

    Raises:
        InputError: `dim` cannot be divided so, or there is no layer.
    """

    def __init__(self, entering: int, leaving: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.dim = dim
        self.layers, self.norm = transformer("The predictor", dim, depth, heads)
        self.enter, self.leave = nn.Linear(entering, dim), nn.Linear(dim, leaving)
        self.mask_vector = nn.Parameter(0.02 * torch.randn(dim))

    def forward(
        self,
        known: Tensor,
        visible: Tensor,
        wanted: Tensor,
        positions: Tensor,
        known_real: Tensor | None = None,
        wanted_real: Tensor | None = None,
    ) -> Tensor:
        """Vectors ``(B, M, T, leaving)`` of M blocks, none of which sees another.

        Args:
            known: ``(B, C, entering)``, the encoder's vectors of the visible places.
            visible: ``(B, C)`` int64, those places.
            wanted: ``(B, M, T)`` int64, the places of every block.
            positions: ``(N, dim)``, of all places.
            known_real: ``(B, C)`` bool, False where a slot of `visible` is left over; None where none is.
            wanted_real: ``(B, M, T)`` bool, likewise of `wanted`.
        """
        blocks = wanted.shape[1]
        context = self.enter(known) + positions[visible]
        queries = self.mask_vector.to(context.dtype) + positions[wanted].to(context.dtype)
        vectors = torch.cat([context.repeat_interleave(blocks, dim=0), queries.flatten(0, 1)], dim=1)
        mask = None
        if known_real is not None or wanted_real is not None:
            seen = torch.ones_like(visible, dtype=torch.bool) if known_real is None else known_real
            asked = torch.ones_like(wanted, dtype=torch.bool) if wanted_real is None else wanted_real
            mask = torch.cat([seen.repeat_interleave(blocks, dim=0), asked.flatten(0, 1)], dim=1)[:, None, None]
        for layer in self.layers:
            vectors = layer(vectors, mask)
        predicted = self.leave(self.norm(vectors[:, visible.shape[1] :]))
        return predicted.unflatten(0, (-1, blocks))
