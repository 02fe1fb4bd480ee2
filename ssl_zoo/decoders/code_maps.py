"""A decoder of maps of vectors: images of what stands at every place of a grid."""

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError


class ResidualBlock(nn.Module):
    """Adds to maps what a 3x3 and a 1x1 convolution make of them.

    Args:
        dim: channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Conv2d(dim, dim, 3, padding=1), nn.ReLU(), nn.Conv2d(dim, dim, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, dim, H, W)`` as they come."""
        return maps + self.layers(maps)


class MapDecoder(nn.Module):
    """Residual blocks on a grid, then transposed convolutions up to pixels (VQ-VAE, arXiv:1711.00937, section 4.1).

    Every doubling of the sides halves the channels. It knows no place but by what is around it, so that images of any
    size come out.

    Args:
        entering: channels of the grid.
        channels: channels of the images.
        stride: pixels along a side that a place of the grid becomes; of factors other than two one layer is made.
        dim: channels of the residual blocks.
        depth: residual blocks.

    Raises:
        InputError: a size is out of its range.
    """

    def __init__(self, entering: int, channels: int, stride: int, dim: int = 128, depth: int = 2) -> None:
        super().__init__()
        if dim < 1 or depth < 0:
            raise InputError(f"The decoder has {depth} blocks of {dim} channels; give at least 0 of at least 1.")
        layers: list[nn.Module] = [nn.Conv2d(entering, dim, 3, padding=1), *(ResidualBlock(dim) for _ in range(depth))]
        while stride % 2 == 0:
            layers += [nn.ReLU(), nn.ConvTranspose2d(dim, max(1, dim // 2), 4, stride=2, padding=1)]
            stride, dim = stride // 2, max(1, dim // 2)
        if stride > 1:
            layers += [nn.ReLU(), nn.ConvTranspose2d(dim, dim, stride, stride=stride)]
        self.layers = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(dim, channels, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, channels, stride * H, stride * W)`` of ``(B, entering, H, W)``."""
        return self.layers(maps.contiguous(memory_format=torch.channels_last))
