import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.encoders.convolution import convolve

# kernel, stride, channels, outputs, batch, length (a multiple of the stride)
SHAPES = [
    (10, 5, 1, 8, 3, 50),
    (3, 2, 4, 4, 2, 20),
    (2, 2, 4, 6, 2, 20),
    (8, 4, 3, 5, 1, 40),
    (3, 1, 4, 5, 2, 9),
    (3, 5, 2, 3, 2, 20),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_a_stock_convolution(shape, with_bias):
    kernel, stride, channels, outputs, batch, length = shape
    generator = torch.Generator().manual_seed(0)

    def draw(*sizes):
        return torch.randn(*sizes, generator=generator, dtype=torch.double).requires_grad_()

    sequence, weight = draw(batch, length, channels), draw(outputs, channels, kernel)
    bias = draw(outputs) if with_bias else None
    expected = F.conv1d(sequence.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    found = convolve(sequence, weight, bias, stride)
    assert found.shape == (batch, length // stride, outputs)
    valid = found[:, : (length - kernel) // stride + 1]
    torch.testing.assert_close(valid, expected)
    upstream, inputs = torch.randn(expected.shape, generator=generator, dtype=torch.double), [sequence, weight]
    inputs += [bias] if with_bias else []
    for ours, theirs in zip(
        torch.autograd.grad(valid, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_waveform_that_needs_no_gradient_costs_none():
    weight = torch.randn(4, 1, 10, requires_grad=True)
    waveform = torch.randn(2, 50, 1)
    convolve(waveform, weight, None, 5).sum().backward()
    assert waveform.grad is None and weight.grad.abs().sum() > 0


def test_autocast_multiplies_in_its_type_and_gives_gradients_in_float32():
    generator = torch.Generator().manual_seed(0)
    sequence = torch.randn(2, 20, 8, generator=generator, requires_grad=True)
    weight = torch.randn(4, 8, 3, generator=generator, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        low = convolve(sequence, weight, None, 2)
    assert low.dtype == torch.bfloat16
    exact = torch.autograd.grad(convolve(sequence, weight, None, 2).square().sum(), (sequence, weight))
    for ours, wanted in zip(torch.autograd.grad(low.float().square().sum(), (sequence, weight)), exact, strict=True):
        assert ours.dtype == torch.float32
        assert torch.cosine_similarity(ours.flatten(), wanted.flatten(), 0) > 0.999
