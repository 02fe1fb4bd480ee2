"""Fixed vectors for places, which no training changes."""

import torch
from torch import Tensor


def sine_cosine_positions(side: int, dim: int) -> Tensor:
    """Fixed positions of a class token, all zeros, and a square of patches, row by row.

    A quarter of the dimensions each are sine and cosine of the column, then of the row, with wavelengths from 2 pi to
    10000 times as long, as in MoCo v3 (Chen, Xie and He, 2021, arXiv:2104.02057) and MAE.

    Args:
        side: patches along a side.
        dim: size of the vectors, a multiple of 4.

    Returns:
        ``(1, 1 + side * side, dim)`` float32.
    """
    frequencies = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row, column = (
        place.flatten()[:, None] * frequencies for place in torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij")
    )
    patches = torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1)
    return torch.cat([torch.zeros(1, dim), patches.float()])[None]
