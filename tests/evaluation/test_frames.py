import numpy as np
import pytest
import torch

from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.frames import choose_moments, frames_at, in_few_bytes, mean_and_deviation, nearest_frames
from ssl_zoo.probes.weighted_layers import fit_weighted
from tests.made_audio import Tones, spell


def test_the_frame_taken_is_the_one_whose_centre_is_nearest():
    random = np.random.default_rng(0)
    samples, counts = random.integers(0, 9000, 500), random.integers(1, 40, 500)
    for offset, stride in ((200, 160), (200, 1280), (465, 320), (7, 15)):
        found = nearest_frames(torch.tensor(samples), torch.tensor(counts), offset, stride)
        for sample, count, frame in zip(samples, counts, found.tolist(), strict=True):
            distances = np.abs(offset + stride * np.arange(count) - sample)
            assert 0 <= frame < count and distances[frame] == distances.min()


def test_context_equals_a_loop_and_never_looks_into_padding():
    frames = torch.randn(3, 15, 2, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([15, 9, 1])
    mask = torch.arange(15) < counts[:, None]
    rows, places = mask.nonzero(as_tuple=True)
    padded = frames.masked_fill(~mask[..., None], torch.nan)
    found = frames_at(padded, rows, places, counts[rows], context=4)
    assert found.shape == (25, 18)
    for row, place, ours in zip(rows.tolist(), places.tolist(), found, strict=True):
        around = [frames[row, min(max(place + shift, 0), int(counts[row]) - 1)] for shift in range(-4, 5)]
        assert torch.equal(ours, torch.cat(around))
    assert torch.equal(frames_at(padded, rows, places, counts[rows], context=0), frames[mask])


def test_mean_and_deviation_are_numpys_over_real_frames():
    frames = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0)) * 4 + 1
    mask = torch.arange(12) < torch.tensor([12, 5])[:, None]
    found = mean_and_deviation(frames, mask)
    for row, count in enumerate((12, 5)):
        real = frames[row, :count].numpy()
        np.testing.assert_allclose(found[row], np.concatenate([real.mean(0), real.std(0)]), atol=1e-5)
    torch.testing.assert_close(mean_and_deviation(frames[:1], None), found[:1])


def test_moments_are_every_20_ms_where_a_phone_is_known_or_evenly_many():
    data = AudioData(Tones(), max_seconds=0.6, crop_seconds=0.5)
    data.setup()
    everything = choose_moments(data.train_set, 10**6)
    expected = []
    for position, number in enumerate(data.train_set.chosen.tolist()):
        ends, phones = spell(number)
        samples = min(int(ends[-1] * 16000), 9600)
        for sample in range(160, samples // 320 * 320, 320):
            phone = next(phone for end, phone in zip(ends, phones, strict=True) if sample / 16000 < end)
            expected.append((position, sample, phone))
    assert [tuple(each) for each in zip(*(values.tolist() for values in everything), strict=True)] == expected
    few = choose_moments(data.train_set, 100)
    assert len(few.labels) == 100 and len(few.recordings.unique()) == len(data.train_set)
    assert set(zip(*(values.tolist() for values in few), strict=True)) < set(expected)
    places, rows = everything.of(torch.tensor([4, 1, 3]))
    assert [(row, *expected[place]) for place, row in zip(places.tolist(), rows.tolist(), strict=True)] == [
        (row, *each) for row, wanted in enumerate((4, 1, 3)) for each in expected if each[0] == wanted
    ]


def test_features_are_kept_in_float16_only_where_it_holds_them():
    features = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(0))
    assert in_few_bytes(features).dtype == torch.float16
    assert in_few_bytes(features[:, :0]).shape == (2, 0, 8)
    for factor in (1e5, 1e30, 1e-6):
        large = features * torch.tensor([1.0, factor])[:, None, None]
        kept = in_few_bytes(large)
        assert torch.equal(kept.float(), large)
        joined = torch.cat([in_few_bytes(features), kept], 1)
        assert joined.isfinite().all() and torch.equal(joined[:, 50:].float(), large)
    for wrong in (torch.inf, torch.nan):
        with pytest.raises(InputError, match="not finite"):
            in_few_bytes(features.index_fill(1, torch.tensor([3]), wrong))


def test_a_probe_of_layers_with_numbers_beyond_float16_predicts_as_one_of_small_numbers():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (400,), generator=generator)
    features = (torch.eye(4)[labels] + 0.1 * torch.randn(400, 4, generator=generator))[None]
    for factor in (1.0, 1e6):
        kept = in_few_bytes(factor * features)
        probe = fit_weighted(kept[:, :200], labels[:200], (kept[:, 200:300], labels[200:300]), 4)
        assert (probe.predict(kept[:, 300:]) == labels[300:]).float().mean() > 0.95
