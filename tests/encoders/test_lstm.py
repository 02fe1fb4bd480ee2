"""LSTMs with a projection in mixed precision against PyTorch's own in float32."""

import pytest
import torch
from torch import Tensor

from ssl_zoo.encoders.lstm import ProjectedLSTM, in_mixed_precision

# Products of bfloat16 numbers are off by up to 2^-8 of their size, and a gate is a sum of two of them.
ROUNDING = 4 * 2.0**-8


def gradients(lstm: ProjectedLSTM, read: Tensor, vectors: Tensor) -> list[Tensor]:
    weight = torch.randn(read.shape, generator=torch.Generator().manual_seed(2))
    return list(torch.autograd.grad((read * weight).sum(), [vectors, *lstm.parameters()]))


def make(dim: int = 16, cells: int = 24) -> ProjectedLSTM:
    torch.manual_seed(0)
    return ProjectedLSTM(dim, cells)


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_values_and_gradients_written_out_are_torchs_in_float32(steps):
    lstm, vectors = make(), torch.randn(5, steps, 16, requires_grad=True)
    theirs, ours = lstm(vectors), in_mixed_precision(vectors, lstm._flat_weights, torch.float32)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for one, other in zip(gradients(lstm, ours, vectors), gradients(lstm, theirs, vectors), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_in_mixed_precision_products_are_bfloat16s_and_gradients_close():
    lstm, vectors = make(), torch.randn(5, 30, 16, requires_grad=True)
    exact = lstm(vectors)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = lstm(vectors)
    assert mixed.dtype == torch.float32
    for near, true in zip(gradients(lstm, mixed, vectors), gradients(lstm, exact, vectors), strict=True):
        assert near.dtype == torch.float32 and 0 < (near - true).norm() < 2 * ROUNDING * true.norm()


@torch.no_grad()
def test_rounding_errors_do_not_add_up_in_a_cell_that_remembers_600_steps():
    lstm, vectors = make(64, 96), torch.randn(4, 600, 64)
    lstm.bias_ih_l0[96:192] = 2.0  # of the gate that keeps
    exact = lstm(vectors)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = lstm(vectors)
    errors = (mixed - exact).norm(dim=2) / exact.norm(dim=2)
    assert 0 < errors.min() and errors.mean(0).max() < ROUNDING
