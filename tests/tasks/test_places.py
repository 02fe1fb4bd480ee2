import numpy as np
import torch

from ssl_zoo.tasks.places import frames_at, nearest_frames


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
