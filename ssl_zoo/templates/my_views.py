"""Views of one's own: changed copies of every example, made on its device."""

import torch
from torch import Tensor

from ssl_zoo.randomness import fold_in, normal, uniform
from ssl_zoo.views.base import Views


class MyViews(Views):
    """Every image twice, each copy brighter or darker at random, with noise.

    Args:
        gain: How much brighter or darker at most, as a share.
        noise: Standard deviation of the noise, of grey values in [0, 1].
    """

    views_per_example = 2

    def __init__(self, gain: float = 0.5, noise: float = 0.1) -> None:
        super().__init__()
        self.gain, self.noise = gain, noise

    @torch.no_grad()
    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """``(2 B, C, H, W)`` in [0, 1], all first views and then all second ones, of ``(B, C, H, W)``."""
        images = inputs / 255 if inputs.dtype == torch.uint8 else inputs
        # Each view of each example has a key, and each use of it another one: nothing is drawn from anywhere else.
        keys = torch.cat([fold_in(keys, view) for view in range(self.views_per_example)])
        gains = 1 + self.gain * (2 * uniform(fold_in(keys, 0), 1, 1, 1) - 1)
        noise = self.noise * normal(fold_in(keys, 1), *images.shape[1:])
        return (gains * images.repeat(self.views_per_example, 1, 1, 1) + noise).clamp(0, 1)
