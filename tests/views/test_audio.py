from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.figures import draw_views
from ssl_zoo.data.audio.spectrograms import picture_of_sound
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.randomness import draw, example_keys, uniform
from ssl_zoo.views.audio import AudioViews, WaveformViews
from ssl_zoo.views.audio_frequency import FrequencyMasks
from ssl_zoo.views.audio_time import PolarityFlip, TimeMasks, WaveformCrop, WaveformGain, WaveformNoise
from ssl_zoo.views.audio_transform import AudioTransform

RATE = 1000
UNLIKELY = 1e-3  # p value below which two samples count as differently distributed; the draws are seeded

OPERATORS = [
    WaveformCrop(0.5, RATE),
    WaveformGain((-12.0, 6.0)),
    PolarityFlip(),
    WaveformNoise((0.0, 20.0)),
    TimeMasks(2, 0.2, RATE),
    FrequencyMasks(2, 0.3, RATE),
]
operators = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)


def keys(count: int, step: int = 0) -> Tensor:
    return example_keys(0, step, torch.arange(count))


def waveforms(count: int, length: int = 800) -> Tensor:
    return 0.2 * torch.randn(count, length, generator=torch.Generator().manual_seed(length)).clamp(-3, 3)


def uniform_p(values: Tensor, low: float, high: float) -> float:
    return stats.kstest(values.numpy(), "uniform", (low, high - low)).pvalue


@operators
def test_an_operator_gives_a_waveform_the_same_alone_and_in_company_and_every_one_its_own(
    operator: AudioTransform,
) -> None:
    inputs = waveforms(1).repeat(8, 1)
    before = inputs.clone()
    together = operator(inputs, keys(8))
    assert torch.equal(inputs, before)
    torch.testing.assert_close(operator(inputs[5:6], keys(8)[5:6])[0], together[5], atol=1e-6, rtol=1e-6)
    assert len({tuple(row.tolist()) for row in together}) == (2 if isinstance(operator, PolarityFlip) else 8)
    assert not torch.equal(operator(inputs, keys(8, step=1)), together)


def test_a_crop_is_a_stretch_that_begins_anywhere_alike() -> None:
    inputs = torch.arange(800).float().repeat(2000, 1)
    crops = WaveformCrop(0.5, RATE)(inputs, keys(2000))
    assert crops.shape == (2000, 500) and (crops.diff(dim=1) == 1).all()
    assert crops[:, 0].min() == 0 and crops[:, -1].max() == 799
    assert uniform_p(crops[:, 0] + 0.5, 0, 301) > UNLIKELY
    assert torch.equal(WaveformCrop(0.8, RATE)(inputs, keys(2000)), inputs)


def test_gain_is_uniform_in_decibels() -> None:
    inputs = waveforms(2000)
    ratio = WaveformGain((-12.0, 6.0))(inputs, keys(2000)) / inputs
    assert (ratio.amax(1) - ratio.amin(1)).max() < 1e-4
    assert uniform_p(20 * torch.log10(ratio.median(1).values), -12, 6) > UNLIKELY


def test_polarity_flips_as_often_as_asked() -> None:
    inputs = waveforms(2000)
    flipped = PolarityFlip(0.3)(inputs, keys(2000))
    turned = (flipped == -inputs).all(1)
    assert ((flipped == inputs).all(1) | turned).all()
    assert turned.float().mean() == pytest.approx(0.3, abs=0.04)


def test_noise_is_white_and_as_far_below_the_signal_as_asked() -> None:
    inputs = waveforms(1000, 4000) * torch.linspace(0.01, 1, 1000)[:, None]
    noise = WaveformNoise((0.0, 20.0))(inputs, keys(1000)) - inputs
    snr = 10 * torch.log10(inputs.square().mean(1) / noise.square().mean(1))
    assert snr.min() > -0.5 and snr.max() < 20.5 and uniform_p(snr, 0, 20) > UNLIKELY
    normalized = noise / noise.square().mean(1, keepdim=True).sqrt()
    assert stats.kstest(normalized[::50].flatten().numpy(), "norm").pvalue > UNLIKELY
    power = torch.fft.rfft(normalized).abs().square().mean(0)[1:-1] / 4000
    assert power.view(-1)[:1990].reshape(10, -1).mean(1).sub(1).abs().max() < 0.05
    # The noise of one recording says nothing about another's.
    assert np.corrcoef(normalized[:50].numpy())[~np.eye(50, dtype=bool)].max() < 0.1
    kept = WaveformNoise((0.0, 20.0), probability=0.25)(inputs, keys(1000)) == inputs
    assert kept.all(1).float().mean() == pytest.approx(0.75, abs=0.05)
    assert torch.equal(WaveformNoise((0.0, 20.0))(torch.zeros(2, 100), keys(2)), torch.zeros(2, 100))


def test_time_masks_zero_spans_and_nothing_else() -> None:
    inputs = waveforms(2000) + 5  # nowhere zero
    masked = TimeMasks(1, 0.2, RATE)(inputs, keys(2000))
    silent = masked == 0
    assert torch.equal(masked[~silent], inputs[~silent])
    edges = torch.nn.functional.pad(silent.int(), (1, 1)).diff(dim=1)
    assert (edges.clamp(min=0).sum(1) <= 1).all()  # one span each
    lengths = silent.sum(1)
    assert lengths.max() == 200 and uniform_p(lengths + uniform(keys(2000, 2)) - 0.5, -0.5, 200.5) > UNLIKELY
    # The middle is as likely as what lies 200 samples from the ends.
    assert silent[:, 200].float().mean() == pytest.approx(float(silent[:, 400].float().mean()), abs=0.05)
    assert silent[:, :50].any() and silent[:, -50:].any()
    assert ((TimeMasks(3, 0.1, RATE)(inputs, keys(2000)) == 0).sum(1) <= 300).all()


def test_frequency_masks_remove_bands_and_nothing_else() -> None:
    inputs = waveforms(500, 1000)
    operator = FrequencyMasks(1, 0.3, RATE)
    masked = operator(inputs, keys(500))
    before, after = torch.fft.rfft(inputs), torch.fft.rfft(masked)
    gone = after.abs() < 1e-4 * before.abs()
    # Both ends of a real spectrum have no imaginary part to lose.
    torch.testing.assert_close(after[~gone], before[~gone], atol=1e-4, rtol=1e-4)
    low, high = operator.bands(draw(keys(500), operator.numbers))
    top = 2595 * np.log10(1 + 500 / 700)
    assert low.min() >= 0 and high.max() <= top + 1e-3
    assert uniform_p((high - low).flatten() / top, 0, 0.3) > UNLIKELY
    frequencies = np.arange(501.0)
    for row in range(500):
        mel = 2595 * np.log10(1 + frequencies / 700)
        expected = (mel >= float(low[row, 0]) - 1e-3) & (mel < float(high[row, 0]) + 1e-3)
        assert np.count_nonzero(expected != gone[row].numpy()) <= 1
    assert operator(waveforms(2, 801), keys(2)).shape == (2, 801)


def test_two_views_are_cut_apart_and_stay_in_range() -> None:
    views = AudioViews(seconds=0.5, gain=(0.0, 12.0), sample_rate=RATE)
    inputs = waveforms(6)
    both = views(inputs, keys(6))
    assert both.shape == (12, 500) and both.abs().max() == 1
    assert not torch.equal(*both.chunk(2)) and not both.requires_grad
    torch.testing.assert_close(views(inputs[2:4], keys(6)[2:4]), both[[2, 3, 8, 9]], atol=1e-6, rtol=1e-6)
    low = views(inputs.bfloat16(), keys(6))
    assert low.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(views(inputs, keys(6)), both)


def test_views_may_be_of_two_kinds_and_leave_operators_out() -> None:
    inputs = waveforms(4)
    first, second = WaveformViews([PolarityFlip(1.0)], [])(inputs, keys(4)).chunk(2)
    assert torch.equal(first, -inputs) and torch.equal(second, inputs)
    plain = AudioViews(0.8, (0.0, 0.0), noise=0.0, time_masks=0, frequency_masks=0, flip=0.0, sample_rate=RATE)
    assert torch.equal(plain(inputs, keys(4)), inputs.repeat(2, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0.0}, "at least 1"),
        ({"snr": (20.0, 5.0)}, "decibels"),
        ({"gain": (0.0, float("inf"))}, "decibels"),
        ({"noise": 2.0}, "probability"),
        ({"frequency_mask_width": 1.5}, "between 0 and 1"),
        ({"time_masks": -1}, "at least 1"),
    ],
)
def test_mistakes_in_settings_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AudioViews(**settings)


def test_views_refuse_what_they_cannot_cut() -> None:
    with pytest.raises(InputError, match="give waveforms"):
        AudioViews()(torch.zeros(2, 1, 20000), keys(2))
    with pytest.raises(InputError, match="crop_seconds"):
        AudioViews(1.0)(torch.zeros(2, 15999), keys(2))


def test_a_method_with_views_refuses_a_padded_batch() -> None:
    method = SimCLR(ResNet(depth=10, width=8, channels=3), AudioViews(0.5, sample_rate=RATE))
    mask = torch.arange(800) < torch.tensor([[800], [300]])
    with pytest.raises(InputError, match="crop_seconds"):
        method.make_views(Batch(waveforms(2), mask, None, torch.arange(2)))
    assert method.make_views(Batch(waveforms(2), None, None, torch.arange(2))).inputs.shape == (4, 500)


def test_a_picture_shows_recordings_beside_their_views(tmp_path: Path) -> None:
    inputs = waveforms(3)
    views = AudioViews(0.5, sample_rate=RATE)(inputs, keys(3))
    draw_views(picture_of_sound(inputs, RATE), [picture_of_sound(views, RATE)], "recordings", tmp_path / "views.png")
    with Image.open(tmp_path / "views.png") as picture:
        assert picture.size == (900, 480)
