import math

import numpy as np
import pytest
import torch
import torchaudio
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.errors import InputError

FRONT_ENDS = {
    "wav2vec 2.0": lambda **settings: WaveConvolutions(8, **settings),
    "group norm": lambda **settings: WaveConvolutions(8, norm="group", bias=False, **settings),
    "CPC": lambda **settings: WaveConvolutions(8, [10, 8, 4, 4, 4], [5, 4, 2, 2, 2], **settings),
    "log-mel": lambda **settings: LogMel(strides=[], **settings),
    "stacked log-mel": lambda **settings: LogMel(20, strides=[], stack=4, **settings),
    "log-mel 20 ms": lambda **settings: LogMel(dim=8, **settings),
    "log-mel 80 ms": lambda **settings: LogMel(dim=8, strides=[2, 2], stack=2, **settings),
}


@pytest.fixture(params=FRONT_ENDS)
def make(request):
    torch.manual_seed(0)
    return FRONT_ENDS[request.param]


def noise(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_convolutions_are_transformers_own(norm):
    torch.manual_seed(0)
    ours = WaveConvolutions(8, norm=norm, bias=norm == "layer", normalize=False)
    theirs = Wav2Vec2FeatureEncoder(Wav2Vec2Config(conv_dim=[8] * 7, feat_extract_norm=norm, conv_bias=norm == "layer"))
    theirs.load_state_dict(ours.state_dict())
    # Lengths that leave no samples over, some, and many.
    for samples in (400, 401, 719, 720, 5000):
        waveforms = noise(2, samples)
        expected = theirs(waveforms.clone()).transpose(1, 2)
        torch.testing.assert_close(ours(waveforms)[0], expected, atol=1e-5, rtol=1e-4)


def test_gradients_are_transformers_own():
    torch.manual_seed(0)
    ours = WaveConvolutions(8, normalize=False)
    theirs = Wav2Vec2FeatureEncoder(Wav2Vec2Config(conv_dim=[8] * 7, feat_extract_norm="layer", conv_bias=True))
    theirs.load_state_dict(ours.state_dict())
    waveforms = noise(3, 3333)
    frames, expected = ours(waveforms)[0], theirs(waveforms.clone()).transpose(1, 2)
    upstream = noise(*frames.shape, seed=1)
    frames.backward(upstream)
    expected.backward(upstream)
    for parameter, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, reference.grad, atol=1e-5, rtol=1e-4)


def test_waveforms_are_normalised_as_by_transformers_feature_extractor():
    lengths = [900, 400, 700]
    waveforms = [noise(length, seed=length) * 3 + 0.5 for length in lengths]
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    given = extractor([each.numpy() for each in waveforms], padding=True, sampling_rate=16000, return_tensors="pt")
    padded = torch.full((3, 900), math.nan)
    for row, each in enumerate(waveforms):
        padded[row, : len(each)] = each
    torch.manual_seed(0)
    plain = WaveConvolutions(8, normalize=False)
    normalizing = WaveConvolutions(8)
    normalizing.load_state_dict(plain.state_dict())
    mask = given.attention_mask.bool()
    expected, real = plain(given.input_values, mask)
    torch.testing.assert_close(normalizing(padded, mask)[0][real], expected[real], atol=1e-4, rtol=1e-4)


def test_a_frame_sees_its_window_and_nothing_else(make):
    front_end = make(normalize=False)
    if isinstance(front_end, WaveConvolutions) and front_end.norm == "group":
        pytest.skip("its statistics are the whole recording's")
    samples = front_end.receptive_field + 5 * front_end.stride + 3
    waveform = noise(1, samples)
    frames = front_end(waveform)[0]
    assert frames.shape == (1, 6, front_end.dim) and front_end.frames(samples) == 6
    start, end = 3 * front_end.stride, 3 * front_end.stride + front_end.receptive_field
    assert front_end.offset == front_end.receptive_field // 2

    def changes(first, last):
        other = waveform.clone()
        other[:, first:last] += 0.3
        return (front_end(other)[0] - frames)[0, 3].abs().max() > 0

    assert not changes(0, start) and not changes(end, samples)
    # The Hann window of a spectrogram is zero at its first sample and next to nothing at the others of its ends.
    assert changes(start, start + 20) and changes(end - 20, end)


def test_a_frame_is_real_when_its_whole_window_is(make):
    front_end = make()
    field, stride = front_end.receptive_field, front_end.stride
    lengths = torch.tensor([field + 3 * stride, field + 3 * stride - 1, field, field - 1, 7, field + stride])
    mask = torch.arange(int(lengths[0])) < lengths[:, None]
    frames, real = front_end(noise(*mask.shape), mask)
    for row, length in enumerate(lengths.tolist()):
        whole = [n * stride + field <= length for n in range(frames.shape[1])]
        assert real[row].tolist() == (whole if any(whole) else [True, False, False, False])
    assert front_end(noise(2, 500))[1] is None


def test_padding_changes_no_real_frame_whatever_it_holds(make):
    front_end = make()
    field = front_end.receptive_field
    lengths = [3 * field, field + 100, field, field - 50]
    mask = torch.arange(3 * field + 777) < torch.tensor(lengths)[:, None]
    waveforms = noise(*mask.shape).masked_fill(~mask, math.nan)
    frames, real = front_end(waveforms, mask)
    for row, length in enumerate(lengths):
        alone, nothing_padded = front_end(waveforms[row : row + 1, :length])
        assert nothing_padded is None
        torch.testing.assert_close(frames[row][real[row]], alone[0], atol=1e-5, rtol=1e-4)


def test_loudness_and_offset_do_not_matter_unless_asked(make):
    waveforms = noise(2, 3000)
    changed = waveforms * 0.1 + 0.2
    front_end = make()
    torch.testing.assert_close(front_end(changed)[0], front_end(waveforms)[0], atol=2e-3, rtol=1e-3)
    plain = make(normalize=False)
    if not (isinstance(plain, WaveConvolutions) and plain.norm == "group"):
        assert (plain(changed)[0] - plain(waveforms)[0]).abs().max() > 0.1


def test_silence_gives_finite_frames_and_gradients(make):
    front_end = make()
    frames, _ = front_end(torch.zeros(2, 3000))
    assert frames.isfinite().all()
    if frames.requires_grad:
        frames.square().sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in front_end.parameters())


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_nothing_in_convolutions_waits_for_the_device(norm):
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    front_end = WaveConvolutions(8, norm=norm).to("meta")
    mask = torch.ones(2, 3000, dtype=torch.bool, device="meta")
    for given in (None, mask):
        assert front_end(torch.empty(2, 3000, device="meta"), given)[0].shape[0] == 2


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_spectrogram_is_torchaudios_on_one_fixed_scale(rate):
    waveforms = noise(2, rate)
    window, hop, size = rate // 40, rate // 100, 256 if rate == 8000 else 512
    theirs = torchaudio.transforms.MelSpectrogram(
        rate, n_fft=size, win_length=window, hop_length=hop, f_min=20, n_mels=40, center=False
    )
    # It puts the window into the middle of the transform's length.
    margin = (size - window) // 2
    energies = theirs(torch.nn.functional.pad(waveforms, (margin, margin))).transpose(1, 2)
    found, mask = log_mel(waveforms, None, rate, 40, normalize=False)
    assert mask is None and found.shape == (2, 98, 40)
    torch.testing.assert_close(found, energies.clamp(min=1e-3).log() / 4.5, atol=1e-4, rtol=1e-4)


def test_a_tone_lies_in_its_band():
    """Band centres by the mel scale's own formula, evenly spaced from 20 Hz to 8 kHz."""

    def mel(hertz):
        return 2595 * math.log10(1 + hertz / 700)

    centres = np.linspace(mel(20), mel(8000), 82)[1:-1]
    for hertz in (300, 1000, 4000):
        tone = torch.sin(2 * math.pi * hertz * torch.arange(16000) / 16000)[None]
        spectrum = log_mel(tone)[0][0].mean(0)
        assert abs(int(spectrum.argmax()) - int(np.abs(centres - mel(hertz)).argmin())) <= 1


def test_the_spectrogram_stays_in_float32_without_gradients():
    waveforms = noise(2, 3000).requires_grad_()
    exact = log_mel(waveforms)[0]
    with torch.autocast("cpu", torch.bfloat16):
        low = log_mel(waveforms)[0]
    assert not exact.requires_grad and torch.equal(low, exact) and low.dtype == torch.float32


def test_a_front_end_without_convolutions_is_the_bare_spectrogram_or_stacks_it():
    waveforms, mask = noise(2, 4000), torch.arange(4000) < torch.tensor([[4000], [2500]])
    spectra, real = log_mel(waveforms, mask)
    bare, bare_real = LogMel(strides=[])(waveforms, mask)
    assert torch.equal(bare, spectra) and torch.equal(bare_real, real)
    stacked, stacked_real = LogMel(strides=[], stack=3)(waveforms, mask)
    for row in range(2):
        for n in range(int(stacked_real[row].sum())):
            by_hand = torch.cat([spectra[row, 3 * n], spectra[row, 3 * n + 1], spectra[row, 3 * n + 2]])
            torch.testing.assert_close(stacked[row, n], by_hand)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"kernels \[10, 3\] and strides \[5\]"):
        WaveConvolutions(8, [10, 3], [5])
    with pytest.raises(InputError, match="at least 1 for every layer"):
        LogMel(strides=[2, 0])
