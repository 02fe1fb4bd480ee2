import math

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.audio import SpectrogramDecoder
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.vae import VAE


def tone(frequency: float, seconds: float = 0.2, rate: int = 16000) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("seconds", "rate", "frames"), [(0.2, 16000, 18), (1.0, 8000, 98), (0.01, 16000, 1)])
def test_what_it_makes_has_the_shape_of_what_it_is_compared_with(seconds, rate, frames):
    decoder = SpectrogramDecoder(6, 4, 40, seconds, rate)
    observed = decoder.observe(torch.randn(3, round(seconds * rate)).clamp(-1, 1))
    assert decoder(torch.randn(3, 6)).shape == observed.shape == (3, 1, 40, frames)


def test_high_tones_are_bright_at_the_top_and_silence_is_black():
    rows = SpectrogramDecoder().observe(torch.stack([tone(300), tone(1000), tone(5000)])).mean((1, 3)).argmax(1)
    assert rows[0] > rows[1] > rows[2]
    half = torch.cat([tone(1000, 0.1), torch.zeros(1600)])
    picture = SpectrogramDecoder().observe(half[None])[0, 0]
    assert 0 <= picture.min() and picture.max() <= 1
    assert picture[:, :6].max() > 0.7 and picture[:, -6:].max() == 0


def test_not_even_a_tone_whose_power_is_all_in_one_band_is_cut_off():
    assert SpectrogramDecoder().observe(tone(1000)[None]).max() < 1


def test_a_vae_learns_to_tell_tones_apart_and_one_whose_code_is_empty_cannot(monkeypatch):
    def train() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        method = VAE(AudioResNet(10, 4), SpectrogramDecoder(4, 4))
        optimizer = torch.optim.AdamW(method.parameters(), 3e-3, fused=True)
        for step in range(60):
            waves = torch.stack([tone(200 * 2 ** float(octave)) for octave in torch.rand(16) * 4])
            optimizer.zero_grad()
            terms = method.losses(Batch(waves, None, None, torch.arange(16) + 16 * step))
            terms["loss"].backward()
            optimizer.step()
        return terms

    whole = train()
    monkeypatch.setattr(VAE, "posterior_of", lambda self, pooled: (torch.zeros(len(pooled), 4),) * 2)
    broken = train()
    assert float(whole["elbo"]) > float(broken["elbo"]) + 100
    bits = -float(whole["elbo"]) / (80 * 18) / math.log(2)
    assert float(whole["bits_per_dim"]) == pytest.approx(bits, rel=1e-5)


def test_what_does_not_fit_says_what_to_change():
    with pytest.raises(InputError, match="give the data crop_seconds"):
        SpectrogramDecoder(crop_seconds=None)
    with pytest.raises(InputError, match="take ConvDecoder for images"):
        SpectrogramDecoder().observe(torch.zeros(2, 1, 28, 28))
    method = VAE(AudioResNet(10, 4), SpectrogramDecoder(4, 4, crop_seconds=0.3))
    with pytest.raises(InputError, match="1 x 80 x 28 but the data has 1 x 80 x 18"):
        method.losses(Batch(torch.randn(2, 3200), None, None, torch.arange(2)))
