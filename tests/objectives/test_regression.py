import pytest
import torch

from ssl_zoo.objectives.regression import squared_or_smooth


def test_it_is_the_sum_over_channels_of_a_square_or_of_a_square_that_turns_into_a_line():
    predicted, targets = (
        torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]]),
        torch.tensor([[0.5, -3.0, 1.0], [2.0, 1.0, 0]]),
    )
    assert squared_or_smooth(predicted, targets, 0.0).tolist() == [9.25, 1.0]
    # Below 2: d^2 / 4; above: d - 1.
    assert squared_or_smooth(predicted, targets, 2.0).tolist() == [0.0625 + 2.0, 0.25]
    assert squared_or_smooth(predicted, targets, 0.25).tolist() == pytest.approx([0.375 + 2.875, 0.875])


def test_it_computes_in_float32_within_autocast():
    predicted, targets = torch.randn(4, 8).bfloat16(), torch.randn(4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        low = squared_or_smooth(predicted, targets, 1.0)
    assert low.dtype == torch.float32 and torch.equal(low, squared_or_smooth(predicted.float(), targets, 1.0))
