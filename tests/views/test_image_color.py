import itertools
from collections import Counter

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import draw, example_keys
from ssl_zoo.views.image_color import (
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    ColorJitter,
    GaussianNoise,
    RandomGain,
    RandomGrayscale,
    RandomSolarize,
    blend,
    shift_hue,
)

UNLIKELY = 1e-3  # p value below which two samples count as differently distributed; the draws are seeded
ADJUST = {
    BRIGHTNESS: reference.adjust_brightness,
    CONTRAST: reference.adjust_contrast,
    SATURATION: reference.adjust_saturation,
}


def keys(count: int) -> torch.Tensor:
    return example_keys(0, 0, torch.arange(count))


def images(count: int, channels: int, side: int = 12) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(side))


@pytest.mark.parametrize("channels", [1, 3])
def test_blend_equals_torchvision_with_a_different_operation_for_every_image(channels: int) -> None:
    batch = images(30, channels)
    operation = torch.arange(30) % 3
    factor = torch.linspace(0, 2, 30)
    twice = torch.stack([operation, operation.flip(0)], 1), torch.stack([factor, factor.roll(1)], 1)
    output = blend(batch.flatten(2), *twice).view_as(batch)
    for row in range(30):
        expected = batch[row]
        for operation_now, factor_now in zip(*(part[row].tolist() for part in twice), strict=True):
            expected = ADJUST[operation_now](expected, factor_now)
        torch.testing.assert_close(output[row], expected, atol=1e-5, rtol=0)


def test_hue_equals_torchvision() -> None:
    corners = torch.tensor(list(itertools.product((0.0, 0.3, 0.3001, 1.0), repeat=3))).T.reshape(1, 3, 8, 8)
    batch = torch.cat([corners.expand(20, -1, -1, -1), images(20, 3, 8)])
    turns = torch.linspace(-0.5, 0.5, 40)
    output = shift_hue(batch.flatten(2), turns).view_as(batch)
    for row in range(40):
        expected = reference.adjust_hue(batch[row], turns[row].item())
        torch.testing.assert_close(output[row], expected, atol=1e-5, rtol=0)


def test_jitter_does_torchvisions_operations_in_the_order_drawn() -> None:
    batch = images(200, 3)
    jitter = ColorJitter(0.8, 0.8, 0.8, 0.2, probability=0.8)
    operations, factors, turns, hue_step = jitter.parameters_for(draw(keys(200), jitter.numbers), channels=3)
    output = jitter(batch, keys(200))
    for row in range(200):
        expected = batch[row]
        for step in range(4):
            if step == hue_step[row]:
                expected = reference.adjust_hue(expected, turns[row].item())
            if step < 3:
                expected = ADJUST[int(operations[row, step])](expected, factors[row, step].item())
        torch.testing.assert_close(output[row], expected, atol=2e-5, rtol=0)


def test_every_order_is_equally_likely() -> None:
    drawn = ColorJitter(0.5, 0.5, 0.5, 0.5).parameters_for(draw(keys(6000), ColorJitter.numbers), channels=3)
    orders = Counter(zip(map(tuple, drawn.operations.tolist()), drawn.hue_step.tolist(), strict=True))
    assert len(orders) == 24
    assert stats.chisquare(list(orders.values())).pvalue > UNLIKELY


def summaries(batch: torch.Tensor) -> torch.Tensor:
    """One row per statistic of each image: what a wrong range, order or probability would shift."""
    red, green, blue = batch.flatten(2).unbind(1)
    return torch.stack(
        [red.mean(1), green.mean(1), blue.mean(1), batch.flatten(1).std(1), (red - blue).mean(1), (green - blue)[:, 0]]
    )


@pytest.mark.parametrize("settings", [(0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.2, 0.1), (0.0, 1.5, 0.0, 0.0), (0, 0, 0, 0.5)])
def test_jitter_is_distributed_as_torchvisions(settings: tuple[float, float, float, float]) -> None:
    image = torch.tensor([0.9, 0.35, 0.1]).view(3, 1, 1) * torch.linspace(0.3, 1.1, 16).view(1, 4, 4).clamp(max=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = v2.RandomApply([v2.ColorJitter(*settings)], 0.8)
        theirs = summaries(torch.stack([transform(image) for _ in range(1500)]))
    ours = summaries(ColorJitter(*settings, probability=0.8)(image.expand(1500, -1, -1, -1), keys(1500)))
    # An untouched image comes back up to rounding, which a rank test would see.
    for ours_row, theirs_row in zip(ours.round(decimals=4), theirs.round(decimals=4), strict=True):
        assert stats.ks_2samp(ours_row, theirs_row, method="asymp").pvalue > UNLIKELY


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_without_colour_jitter_is_brightness_and_contrast(channels: int) -> None:
    batch = images(40, channels)
    jitter = ColorJitter(0.6, 0.6, 0.6, 0.3)
    operations, factors, _, _ = jitter.parameters_for(draw(keys(40), jitter.numbers), channels)
    output = jitter(batch, keys(40))
    assert operations.shape == (40, 2)
    for row in range(40):
        expected = batch[row]
        for operation, factor in zip(operations[row].tolist(), factors[row].tolist(), strict=True):
            other = expected.mean() if operation == CONTRAST else 0.0
            expected = (factor * expected + (1 - factor) * other).clamp(0, 1)
        torch.testing.assert_close(output[row], expected, atol=1e-5, rtol=0)


def test_grayscale_equals_torchvision_and_has_its_probability() -> None:
    batch = images(1, 3, 4).expand(2000, -1, -1, -1)
    output = RandomGrayscale(0.3)(batch, keys(2000))
    selected = (output != batch).flatten(1).any(1)
    expected = reference.rgb_to_grayscale(batch[0], num_output_channels=3)
    torch.testing.assert_close(output[selected], expected.expand(int(selected.sum()), -1, -1, -1), atol=1e-6, rtol=0)
    assert stats.binomtest(int(selected.sum()), 2000, 0.3).pvalue > UNLIKELY
    assert torch.equal(RandomGrayscale(1.0)(batch[:, :1], keys(2000)), batch[:, :1])


def test_solarize_equals_torchvision_and_has_its_probability() -> None:
    batch = images(1, 3, 4).expand(2000, -1, -1, -1)
    output = RandomSolarize(0.6, probability=0.2)(batch, keys(2000))
    selected = (output != batch).flatten(1).any(1)
    assert (output[selected] == reference.solarize(batch[0], 0.6)).all()
    assert stats.binomtest(int(selected.sum()), 2000, 0.2).pvalue > UNLIKELY


def test_gain_multiplies_each_image_by_one_uniform_number() -> None:
    gains = RandomGain(0.3)(torch.full((2000, 1, 2, 2), 0.5), keys(2000)) / 0.5
    assert (gains == gains[:, :, :1, :1]).all()
    assert stats.kstest(gains[:, 0, 0, 0], "uniform", (0.7, 0.6)).pvalue > UNLIKELY


def test_noise_is_normal_and_independent() -> None:
    noise = GaussianNoise(0.05)(torch.full((50, 3, 12, 12), 0.5), keys(50)) - 0.5
    assert stats.kstest(noise.flatten() / 0.05, "norm").pvalue > UNLIKELY
    correlation = torch.corrcoef(noise.flatten(1))
    assert (correlation - torch.eye(50)).abs().max() < 5 / noise[0].numel() ** 0.5


@pytest.mark.parametrize(
    ("operator", "settings"),
    [
        (ColorJitter, {"brightness": -0.1}),
        (ColorJitter, {"contrast": -0.1}),
        (ColorJitter, {"saturation": -0.1}),
        (ColorJitter, {"hue": 0.6}),
        (ColorJitter, {"probability": 2.0}),
        (RandomGrayscale, {"probability": 2.0}),
        (RandomSolarize, {"probability": 2.0}),
        (RandomSolarize, {"threshold": 128.0}),
        (RandomGain, {"span": 1.5}),
        (GaussianNoise, {"std": -1.0}),
    ],
)
def test_a_setting_that_cannot_work_is_named(operator: type, settings: dict) -> None:
    with pytest.raises(InputError, match=f"{operator.__name__}'s {next(iter(settings))}"):
        operator(**settings)
