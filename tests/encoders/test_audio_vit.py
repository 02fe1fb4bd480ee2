"""The vision transformer on spectrograms: sizes that do not fit, and that a patch is in no other."""

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.encoders.positions import fixed_positions, sine_cosine_positions
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.extraction import representation_of
from ssl_zoo.export.program import Program
from ssl_zoo.finetuning.train import FineTuner, Settings
from ssl_zoo.tasks.examples import TaskBatch
from ssl_zoo.tasks.heads import PlaceHead


def make(**settings) -> AudioViT:
    torch.manual_seed(0)
    return AudioViT(**{**AudioViT.tiny(), **settings}).eval()


@torch.no_grad()
def test_a_sound_changes_the_patches_whose_frames_see_it_and_no_others_before_context():
    encoder = make(patch_frames=4, patch_bands=20)
    waves = torch.randn(1, 9000, generator=torch.Generator().manual_seed(0))
    other = waves.clone()
    other[:, 4000:4200] = other[:, 4000:4200].flip(1)  # which leaves mean and variance as they are
    changed = (encoder.embed(other).vectors - encoder.embed(waves).vectors).abs().amax(2).view(-1, 4) > 1e-4
    # Frame n sees samples 160 n to 160 n + 400.
    frames = [n for n in range(54) if 160 * n < 4200 and 4000 < 160 * n + 400]
    assert changed.any(1).nonzero()[:, 0].tolist() == sorted({n // 4 for n in frames})


@torch.no_grad()
def test_patches_are_those_of_the_spectrogram():
    encoder = make(patch_frames=3, patch_bands=16, mels=48)
    waves = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0))
    spectra, _ = log_mel(waves, mels=48)
    found = encoder.contents(waves)
    assert encoder.grid(waves) == (9, 3) and found.shape == (2, 27, 48)
    for place in range(27):
        time, band = divmod(place, 3)
        patch = spectra[:, 3 * time : 3 * time + 3, 16 * band : 16 * band + 16]
        torch.testing.assert_close(found[:, place], patch.flatten(1), atol=1e-5, rtol=1e-5)
    expected = spectra[:, :27].transpose(1, 2).flip(1)[:, None]
    torch.testing.assert_close(encoder.arrange(found, waves), expected, atol=1e-5, rtol=1e-5)


def test_positions_of_a_square_are_those_of_images_and_a_lines_are_sines():
    assert torch.equal(fixed_positions((5, 5), 25, 16), sine_cosine_positions(5, 16)[0, 1:])
    line = fixed_positions(None, 7, 8)
    for place in range(7):
        for k in range(4):
            angle = torch.tensor(place / 10000 ** (k / 4))
            torch.testing.assert_close(line[place, [k, 4 + k]], torch.stack([angle.sin(), angle.cos()]))
    assert len({tuple(row.tolist()) for row in fixed_positions((3, 4), 12, 8)}) == 12


def test_sizes_that_do_not_fit_are_refused_in_a_sentence():
    for settings, sentence in [
        ({"patch_bands": 30}, "AudioViT: patches of 2 frames and 30 bands do not cut 80 mels evenly"),
        ({"patch_frames": 0}, "AudioViT: patches of 0 frames"),
        ({"dim": 30}, "AudioViT: dim 30 is not a multiple of both 4 and heads 2"),
        ({"dim": 0}, "AudioViT: dim 0 is not"),
        ({"heads": 5}, "AudioViT: dim 32 is not a multiple of both 4 and heads 5"),
        ({"segment_seconds": 0}, "AudioViT: segment_seconds is 0"),
    ]:
        with pytest.raises(InputError, match=rf"{sentence}[^.]*\.$"):
            make(**settings)


@torch.no_grad()
def test_probes_and_fine_tuning_of_phones_see_one_vector_per_time():
    encoder = make()
    waves = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5000) < torch.tensor([5000, 3000])[:, None]
    batch = Batch(waves * mask, mask, None, torch.arange(2))
    encoded = encoder(batch.inputs, batch.mask, layers=True)
    representation = representation_of(encoder, lambda each, layers: encoder(each.inputs, each.mask, layers=layers))
    found = representation.extract(batch, True)
    assert {layer.shape for layer in found.sequences} == {(2, 14, 64)} and found.mask.sum(1).tolist() == [14, 8]
    for layer, state in zip(found.sequences, encoded.layers, strict=True):
        torch.testing.assert_close(layer[1, 5], state[1, 10:12].flatten())  # both bands of the sixth time
    head = PlaceHead(encoder.time_dim, 3, encoder.offset, encoder.stride).eval()
    tuner = FineTuner(encoder, head, Settings(1, 1, 1e-3)).eval()
    # A place in the middle of every time's window, and one beyond the last real time.
    places = torch.tensor([[encoder.offset + n * encoder.stride for n in range(8)] + [4900]])
    scores = tuner(TaskBatch(batch.inputs[1:], batch.mask[1:], torch.zeros(1, 9), places))
    times = encoded.sequence[1].view(14, 64)[[*range(8), 7]]
    torch.testing.assert_close(scores, head.linear(times))


@torch.no_grad()
def test_what_is_longer_than_a_segment_is_encoded_as_its_segments_are():
    encoder = make(patch_frames=4, patch_bands=20, segment_seconds=0.5)
    assert encoder.segment == 12 == encoder.grid(torch.zeros(1, 8000))[0]
    samples = torch.randn(2, 20000, generator=torch.Generator().manual_seed(0))
    embedded = encoder.embed(samples)
    found = encoder.contextualize(embedded, layers=True)
    times = embedded.hints["grid"][0]
    assert times == 30
    for start in range(0, times, 12):
        of = slice(4 * start, 4 * min(times, start + 12))
        part = embedded._replace(vectors=embedded.vectors[:, of], hints={"grid": (min(times, start + 12) - start, 4)})
        alone = encoder.contextualize(part, layers=True)
        torch.testing.assert_close(found.sequence[:, of], alone.sequence)
        for layer, expected in zip(found.layers, alone.layers, strict=True):
            torch.testing.assert_close(layer[:, of], expected)


@torch.no_grad()
def test_a_recording_is_encoded_alike_beside_one_of_more_segments():
    encoder = make(patch_frames=4, patch_bands=20, segment_seconds=0.5)
    samples = torch.randn(2, 20000, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(20000) < torch.tensor([[20000], [7000]])
    torch.testing.assert_close(encoder(samples, mask).pooled[1:], encoder(samples[1:, :7000]).pooled)


def test_some_places_of_more_than_a_segment_are_refused():
    encoder = make(patch_frames=4, patch_bands=20, segment_seconds=0.5)
    embedded = encoder.embed(torch.randn(1, 20000))
    with pytest.raises(InputError, match=r"30 times some places .* has 12: set encoder.segment_seconds .* above\.$"):
        encoder.contextualize(embedded, places=torch.arange(5)[None])


@torch.no_grad()
def test_a_program_takes_recordings_of_any_number_of_segments():
    encoder = make(patch_frames=4, patch_bands=20, segment_seconds=0.5)
    samples = torch.randn(3, 20000, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(20000) < torch.tensor([[20000], [11000], [3000]])
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Program(encoder), (samples, mask), dynamic_shapes=(dynamic, dynamic)).module()
    for rows, length in [(3, 20000), (2, 20000), (2, 9000), (2, 3000)]:
        given = samples[-rows:, :length], mask[-rows:, :length]
        expected = encoder(*given)
        torch.testing.assert_close(program(*given)["pooled"], expected.pooled, atol=1e-5, rtol=1e-4)
        real = expected.mask
        torch.testing.assert_close(program(*given)["sequence"][real], expected.sequence[real], atol=1e-5, rtol=1e-4)
