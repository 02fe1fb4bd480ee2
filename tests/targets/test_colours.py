"""CIELAB against published values, and bins, their weights and the annealed mean against loops."""

import math

import pytest
import torch

from ssl_zoo.encoders.lab import to_lab, to_rgb
from ssl_zoo.targets.colours import (
    annealed_mean,
    colour_bins,
    constant_loss,
    rebalanced,
    soft_bins,
)

BINS = torch.tensor([[0.0, 0], [10, 0], [0, 10], [-10, 0], [50, 50], [0, -20], [60, 50]])


@pytest.mark.parametrize(
    ("rgb", "lab"),  # of sRGB's corners under D65, to two decimals
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    ],
)
def test_published_values(rgb, lab):
    found = to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(lab, abs=0.02)


def test_there_and_back():
    images = torch.rand(4, 3, 8, 8)
    images[0] /= 50  # the dark end has a formula of its own
    torch.testing.assert_close(to_rgb(to_lab(images)), images, atol=1e-4, rtol=0)
    impossible = to_rgb(torch.tensor([[50.0, 200, -200], [50, -200, 200]])[..., None, None])
    assert 0 <= float(impossible.min()) and float(impossible.max()) <= 1


def test_bins_are_those_that_colours_lie_in():
    bins = colour_bins()
    assert bins.shape == (261, 2) and (bins % 10 == 0).all() and len(bins.unique(dim=0)) == 261
    colours = to_lab(torch.rand(1, 3, 4000))[0, 1:].T
    assert (torch.cdist(colours, bins).amin(1) < 10).all()
    # And each of them at some lightness is a colour that a screen has, as near as half a bin.
    lab = torch.stack([torch.linspace(0, 100, 101).expand(261, -1), *bins.T[..., None].expand(-1, -1, 101)], 1)
    assert (to_lab(to_rgb(lab)) - lab)[:, 1:].norm(dim=1).amin(1).max() < 7.2


def test_a_colour_is_spread_over_its_five_nearest_bins():
    colours = torch.tensor([[1.0, 2.0], [55, 50], [-3, -30]])
    weights, numbers = soft_bins(colours, BINS)
    for colour, found, places in zip(colours.tolist(), weights.tolist(), numbers.tolist(), strict=True):
        distances = [math.dist(colour, bin) for bin in BINS.tolist()]
        nearest = sorted(range(7), key=distances.__getitem__)[:5]
        shares = [math.exp(-(distances[place] ** 2) / 50) for place in nearest]
        assert [distances[place] for place in places] == pytest.approx([distances[place] for place in nearest])
        assert found == pytest.approx([share / sum(shares) for share in shares], abs=1e-5)


def test_rare_bins_weigh_more_and_the_mean_weight_is_one():
    frequencies = torch.tensor([0.7, 0.1, 0.1, 0.0, 0.05, 0.05, 0.0])
    kernel = [[math.exp(-(math.dist(one, other) ** 2) / 50) for other in BINS.tolist()] for one in BINS.tolist()]
    smoothed = [sum(float(frequencies[i]) * kernel[i][j] / sum(kernel[i]) for i in range(7)) for j in range(7)]
    inverse = [1 / (0.5 * each + 0.5 / 7) for each in smoothed]
    scale = sum(a * b for a, b in zip(smoothed, inverse, strict=True))
    assert rebalanced(frequencies, BINS, 0.5).tolist() == pytest.approx([each / scale for each in inverse], rel=1e-5)
    assert rebalanced(frequencies, BINS, 1.0).tolist() == pytest.approx([1] * 7)


def test_no_constant_prediction_is_better_than_the_constant_loss():
    mass = torch.tensor([0.3, 0.3, 0.5])
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def loss():
        optimizer.zero_grad()
        nats = -(mass * logits.log_softmax(0)).sum()
        nats.backward()
        return nats

    optimizer.step(loss)
    assert float(constant_loss(mass)) == pytest.approx(float(loss().detach()), rel=1e-5)


def test_the_annealed_mean_lies_between_the_mean_and_the_likeliest_bin():
    logits = torch.tensor([0.1, 0.9, -0.5, 0.3, 0.8, 0.0, -1.0])
    for temperature in (1.0, 0.38):
        shares = [math.exp(float(each) / temperature) for each in logits]
        by_hand = [
            sum(s * float(bin[axis]) for s, bin in zip(shares, BINS, strict=True)) / sum(shares) for axis in (0, 1)
        ]
        assert annealed_mean(logits, BINS, temperature).tolist() == pytest.approx(by_hand, rel=1e-4)
    assert annealed_mean(logits, BINS, 1e-3).tolist() == pytest.approx([10, 0], abs=1e-3)


def test_colours_are_as_exact_where_the_rest_is_in_bfloat16():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    lab = to_lab(images)
    logits = torch.randn(5, len(BINS), generator=torch.Generator().manual_seed(1))
    expected = to_rgb(lab), *soft_bins(lab[:, 1:].flatten(2).transpose(1, 2)[0], BINS), annealed_mean(logits, BINS, 0.4)
    with torch.autocast("cpu", torch.bfloat16):
        found = to_rgb(to_lab(images)), *soft_bins(to_lab(images)[:, 1:].flatten(2).transpose(1, 2)[0], BINS)
        found = *found, annealed_mean(logits, BINS, 0.4)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
