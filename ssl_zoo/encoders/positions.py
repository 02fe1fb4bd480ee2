"""Fixed vectors for places, which no training changes."""

import torch
from torch import Tensor


def sine_cosine_positions(side: int, dim: int) -> Tensor:
    """Fixed positions of a class token, all zeros, and a square of patches, row by row, as `plane_positions` has them.

    Args:
        side: patches along a side.
        dim: size of the vectors, a multiple of 4.

    Returns:
        ``(1, 1 + side * side, dim)`` float32.
    """
    return torch.cat([torch.zeros(1, dim), plane_positions(side, side, dim)])[None]


def fixed_positions(grid: tuple[int, int] | None, places: int, dim: int) -> Tensor:
    """Fixed positions ``(N, dim)`` float32 of places however they lie.

    Args:
        grid: rows and columns of places in a plane, as `Encoder.grid` has them; None for a line.
        places: number of places, N.
        dim: size of the vectors, a multiple of 4.
    """
    return line_positions(places, dim) if grid is None else plane_positions(*grid, dim)


def plane_positions(rows: int, columns: int, dim: int) -> Tensor:
    """Fixed positions of places in a plane, row by row.

    A quarter of the dimensions each are sine and cosine of the column, then of the row, with wavelengths from 2 pi to
    10000 times as long, as in MoCo v3 (Chen, Xie and He, 2021, arXiv:2104.02057) and MAE.

    Args:
        rows: number of rows.
        columns: number of columns.
        dim: size of the vectors, a multiple of 4.

    Returns:
        ``(rows * columns, dim)`` float32.
    """
    place = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    row, column = (_waves(each.flatten(), dim // 2) for each in place)
    return torch.cat([column, row], dim=1)


def line_positions(places: int, dim: int) -> Tensor:
    """Fixed positions ``(places, dim)`` float32 of places in a line, sines then cosines of their numbers.

    Args:
        places: number of places.
        dim: size of the vectors, an even number.
    """
    return _waves(torch.arange(places), dim)


def _waves(numbers: Tensor, dim: int) -> Tensor:
    frequencies = 10000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = numbers[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
