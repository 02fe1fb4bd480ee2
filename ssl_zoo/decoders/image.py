"""Image decoders: one of convolutions, one of linear layers."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.decoders.base import Decoder
from ssl_zoo.errors import InputError


class ConvDecoder(Decoder):
    """A linear layer to a coarse grid, then transposed convolutions that double it, for images of any size.

    The generator of DCGAN (Radford et al., 2015, arXiv:1511.06434) without its batch norm. The grid starts with at
    most four positions on its shorter side; where doublings overshoot the image size, the margin is cut off.

    Args:
        latent_dim: size of the latent vectors.
        width: channels at full resolution; every halving doubles them, up to 8 times as many.
        channels: image channels.
        image_size: height and width in pixels, or one number for both.
    """

    def __init__(
        self, latent_dim: int = 64, width: int = 32, channels: int = 3, image_size: int | tuple[int, int] = 32
    ) -> None:
        super().__init__()
        self.size = (image_size, image_size) if isinstance(image_size, int) else image_size
        _require_positive(latent_dim=latent_dim, width=width, channels=channels, image_size=min(self.size))
        self.latent_dim = latent_dim
        doublings = max(0, math.ceil(math.log2(min(self.size) / 4)))
        self.start = [math.ceil(side / 2**doublings) for side in self.size]
        widths = [width * min(8, 2**step) for step in reversed(range(doublings + 1))]
        self.project = nn.Linear(latent_dim, widths[0] * math.prod(self.start))
        layers: list[nn.Module] = [nn.ReLU(inplace=True)]
        for entering, leaving in pairwise(widths):
            layers += [nn.ConvTranspose2d(entering, leaving, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))
        for module in self.layers:
            if isinstance(module, nn.ConvTranspose2d):
                # Of its 16 taps each output sees 4, so that many times the entering channels feed it.
                nn.init.normal_(module.weight, std=math.sqrt(2 / (4 * module.in_channels)))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # None only without a bias, and these layers have one
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"width": 8}

    def forward(self, latents: Tensor) -> Tensor:
        """``(B, C, H, W)`` of ``(B, L)``."""
        grid = self.project(latents).unflatten(1, (-1, *self.start))
        images = self.layers(grid.contiguous(memory_format=torch.channels_last))
        top, left = ((made - side) // 2 for made, side in zip(images.shape[2:], self.size, strict=True))
        return images[:, :, top : top + self.size[0], left : left + self.size[1]]


class MLPDecoder(Decoder):
    """Hidden linear layers with ReLU, then one number per pixel and channel.

    Args:
        latent_dim: size of the latent vectors.
        hidden: widths of the hidden layers.
        channels: image channels.
        image_size: height and width in pixels.
    """

    def __init__(
        self,
        latent_dim: int = 16,
        hidden: list[int] = [512],  # noqa: B006  # never changed, and --help shows it
        channels: int = 1,
        image_size: int = 28,
    ) -> None:
        super().__init__()
        _require_positive(
            latent_dim=latent_dim, hidden=min(hidden, default=1), channels=channels, image_size=image_size
        )
        self.latent_dim, self.shape = latent_dim, (channels, image_size, image_size)
        widths = [latent_dim, *hidden]
        layers: list[nn.Module] = []
        for entering, leaving in pairwise(widths):
            layers += [nn.Linear(entering, leaving), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(self.shape)))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"hidden": [16]}

    def forward(self, latents: Tensor) -> Tensor:
        """``(B, C, H, W)`` of ``(B, L)``."""
        return self.layers(latents).unflatten(1, self.shape)


def _require_positive(**settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise InputError(f"The decoder's {name} is {value}; give a number of at least 1.")
