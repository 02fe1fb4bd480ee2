"""An encoder of time series: stretches of time steps, mixed by causal convolutions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder


class SeriesEncoder(Encoder):
    """Stretches of a series as vectors, each of which sees itself and those before it.

    Args:
        channels: measurements at a time; comes from the data.
        dim: size of the vectors.
        depth: convolutions.
        stretch: time steps per vector.
    """

    modality = "series"
    causal = True

    def __init__(self, channels: int = 1, dim: int = 16, depth: int = 2, stretch: int = 4) -> None:
        super().__init__()
        self.dim, self.num_layers, self.stride, self.offset = dim, depth + 1, stretch, stretch // 2
        self.channels = channels
        self.project = nn.Conv1d(channels, dim, stretch, stretch)
        self.layers = nn.ModuleList(nn.Conv1d(dim, dim, 3) for _ in range(depth))

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """``(B, T / stretch, dim)`` of ``(B, channels, T)``."""
        return Embedded(self.project(inputs).transpose(1, 2))

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """The same number of vectors, and their mean."""
        self.require_all(places)
        vectors, states = embedded.vectors, [embedded.vectors]
        for layer in self.layers:
            vectors = vectors + layer(F.pad(torch.relu(vectors), (0, 0, 2, 0)).transpose(1, 2)).transpose(1, 2)
            states.append(vectors)
        return Encoded(vectors, vectors.mean(1), None, tuple(states) if layers else ())
