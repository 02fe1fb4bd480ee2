"""What becomes of a decoded recording."""

import resource

import numpy as np
import pytest

from ssl_zoo.data.audio.quantize import quantize
from ssl_zoo.data.audio.sources.base import BadSound, Sound

RATE = 16000


def tone(rate: int = RATE, frequency: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def waveform(samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    return quantize(Sound(samples.reshape(len(samples), -1), rate), RATE).samples / 32768


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44056, 44099, 44100, 44101, 48000, 96000])
def test_any_sample_rate_gives_the_same_tone_in_little_memory(rate: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = waveform(tone(rate), rate)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert abs(len(found) - RATE) <= 1
    middle = slice(1000, 15000)
    np.testing.assert_allclose(found[middle], tone()[middle], atol=1.01 / 32768)


def test_what_the_lower_rate_cannot_hold_is_gone_rather_than_folded_back() -> None:
    found = waveform(tone(44099, 9000.0) + tone(44099, 440.0), 44099)
    np.testing.assert_allclose(found[1000:15000], tone()[1000:15000], atol=2.01 / 32768)


def test_a_rate_that_no_sound_has_is_named() -> None:
    for rate in (1, 159, 2**31 - 1):
        with pytest.raises(BadSound, match="sample rate"):
            waveform(tone(), rate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_channels_are_averaged_unless_they_cancel_each_other_out(dtype: type) -> None:
    scale = 32767 if dtype is np.int16 else 1
    left, right = tone(frequency=440), tone(frequency=700)

    def mixed(*channels: np.ndarray) -> np.ndarray:
        return waveform((np.stack(channels, 1) * scale).astype(dtype))

    close = {"atol": 3 / 32768}
    np.testing.assert_allclose(mixed(left, right), (left + right) / 2, **close)
    np.testing.assert_allclose(mixed(left, left, left, left, left, left), left, **close)
    silence = np.zeros_like(left)
    np.testing.assert_allclose(mixed(left, *[silence] * 5), left / 6, **close)
    # Antiphase, exact or nearly so, alone or among silent channels, or upon a constant.
    np.testing.assert_allclose(mixed(left, -left), left, **close)
    np.testing.assert_allclose(mixed(left, -0.9 * left), left, **close)
    np.testing.assert_allclose(mixed(silence, -left, silence, left), -left, **close)
    np.testing.assert_allclose(mixed(left + 0.2, 0.2 - left), left + 0.2, **close)


def test_one_number_that_is_none_is_found_before_it_is_mixed_or_resampled() -> None:
    for wrong in (np.nan, np.inf, -np.inf):
        for rate in (RATE, 44100):
            samples = np.stack([tone(rate)] * 2, 1)
            samples[1000, 1] = wrong
            with pytest.raises(BadSound, match="no finite numbers"):
                waveform(samples, rate)


@pytest.mark.parametrize("factor", [1.5, 2.0, 32768.0, 2.0**31])
def test_a_float_recording_beyond_full_scale_keeps_its_shape(factor: float) -> None:
    loud = tone() * 2 * factor  # `tone` goes to one half
    found = quantize(Sound(loud[:, None], RATE), RATE)
    assert found.peak == pytest.approx(factor, rel=1e-3)
    np.testing.assert_allclose(found.samples / 32768, loud / np.abs(loud).max(), atol=1.01 / 32768)


def test_a_recording_within_full_scale_is_not_changed() -> None:
    samples = np.array([-1.0, 0.25, 0.0, 0.5, 32767 / 32768], dtype=np.float32)
    assert quantize(Sound(samples[:, None], RATE), RATE).samples.tolist() == [-32768, 8192, 0, 16384, 32767]


def test_a_spike_beside_which_nothing_is_left_is_named() -> None:
    for spike in (1e6, 1e29, 3e38):
        samples = np.stack([tone()] * 2, 1)
        samples[5] = spike
        with pytest.raises(BadSound, match="beyond full scale"):
            waveform(samples)
