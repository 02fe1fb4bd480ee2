"""Recurrent layers that `torch.compile` traces."""

from typing import cast

import torch
from torch import Tensor, nn


class GRULayer(nn.RNNBase):
    """`torch.nn.GRU` of one layer and one direction, which `torch.compile` traces.

    It refuses that class by name, and not the function that it calls.

    Args:
        dim: size of the state.
        entering: size of the vectors that enter; that of the state when left out.
    """

    def __init__(self, dim: int, entering: int | None = None) -> None:
        super().__init__("GRU", dim if entering is None else entering, dim, batch_first=True)

    def forward(self, vectors: Tensor, start: Tensor | None = None) -> Tensor:
        """The state after every vector, ``(B, N, dim)``.

        Args:
            vectors: ``(B, N, entering)``, float32 for a state in float32, which hundreds of sums want.
            start: ``(B, dim)``, the state before the first; zeros when left out.
        """
        before = vectors.new_zeros(1, len(vectors), self.hidden_size) if start is None else start[None]
        weights = cast(list[Tensor], self._flat_weights)
        return torch.gru(vectors, before, weights, True, 1, 0.0, self.training, False, True)[0]
