"""Two views of every time series: louder or quieter, and noisier."""

import torch
from torch import Tensor

from ssl_zoo.randomness import fold_in, normal, uniform
from ssl_zoo.views.base import Views


class SeriesViews(Views):
    """Every series twice, at another strength and with noise.

    Args:
        noise: standard deviation.
    """

    views_per_example = 2

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """``(2 B, C, T)`` of ``(B, C, T)``."""
        keys = torch.cat([fold_in(keys, view) for view in range(self.views_per_example)])
        strength = 0.7 + 0.6 * uniform(keys, 1, 1)
        twice = inputs.repeat(self.views_per_example, 1, 1)
        return strength * twice + self.noise * normal(fold_in(keys, 2), *inputs.shape[1:])
