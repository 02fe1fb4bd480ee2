import pytest
import torch

from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.log_mel import log_mel


def noise(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed)) * 0.1


def make(**settings):
    torch.manual_seed(0)
    return AudioResNet(**{"depth": 10, "width": 8, "mels": 40, **settings})


@pytest.mark.parametrize("depth", [10, 18, 34])
@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_image_resnet_on_a_spectrogram(depth, training):
    encoder, waveforms = make(depth=depth).train(training), noise(3, 8000)
    picture = log_mel(waveforms, mels=40)[0].transpose(1, 2)[:, None]
    expected = encoder.network(picture)
    found = encoder(waveforms)
    assert found.sequence.shape == (3, 6, 64) and found.mask is None and encoder.stride == 1280
    torch.testing.assert_close(found.pooled, expected.pooled, atol=1e-5, rtol=1e-4)
    maps = expected.sequence.view(3, 5, 6, 64)  # row by row: frequencies, then time
    torch.testing.assert_close(found.sequence, maps.mean(1), atol=1e-5, rtol=1e-4)


def test_steps_are_real_that_have_any_real_frame_left_by_striding():
    lengths = torch.tensor([8000, 1200, 300, 400 + 160 * 8, 400 + 160 * 7])
    mask = torch.arange(8000) < lengths[:, None]
    # Frames (48, 6, 1, 9, 8), then three times every second, the first included.
    assert make().eval()(noise(5, 8000), mask).mask.sum(1).tolist() == [6, 1, 1, 2, 1]


def test_in_training_padding_enters_no_statistic_and_no_real_vector():
    """Two batches of the same recordings, one with a second of noise for padding, give the same running statistics."""
    lengths = torch.tensor([8000, 3000, 5000])
    mask = torch.arange(8000) < lengths[:, None]
    waveforms = noise(3, 8000)
    longer, longer_mask = noise(3, 24000, seed=1), torch.nn.functional.pad(mask, (0, 16000))
    longer[:, :8000] = torch.where(mask, waveforms, longer[:, :8000])
    short, long = make(), make()
    found, padded = short(waveforms, mask), long(longer, longer_mask)
    torch.testing.assert_close(padded.pooled, found.pooled, atol=1e-4, rtol=1e-4)
    for one, other in zip(short.buffers(), long.buffers(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    found.pooled.square().sum().backward()
    padded.pooled.square().sum().backward()
    for one, other in zip(short.parameters(), long.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-3, rtol=1e-3)


def test_other_sample_rates_keep_the_steps_of_80_ms():
    encoder = make(sample_rate=8000).eval()
    assert encoder.stride == 640
    assert encoder(noise(2, 8000)).sequence.shape == (2, 13, 64)
