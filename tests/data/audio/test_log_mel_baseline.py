import numpy as np
import torch

from ssl_zoo.data.audio.log_mel_baseline import mean_and_deviation


def test_mean_and_deviation_are_numpys_over_real_frames():
    frames = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0)) * 4 + 1
    mask = torch.arange(12) < torch.tensor([12, 5])[:, None]
    found = mean_and_deviation(frames, mask)
    for row, count in enumerate((12, 5)):
        real = frames[row, :count].numpy()
        np.testing.assert_allclose(found[row], np.concatenate([real.mean(0), real.std(0)]), atol=1e-5)
    torch.testing.assert_close(mean_and_deviation(frames[:1], None), found[:1])
