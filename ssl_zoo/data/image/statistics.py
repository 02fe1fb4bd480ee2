"""What images are on average: mean and standard deviation of every channel, to normalise them by."""

import torch

from ssl_zoo.data.examples import Examples
from ssl_zoo.data.splits import fixed_order

ENOUGH = 10_000  # images; more change no digit that matters
AT_ONCE = 256


def channel_statistics(examples: Examples, enough: int | None = None) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel, of values in [0, 1].

    Args:
        examples: images.
        enough: so many are measured, a random choice that is the same at every call; 10,000 when left out.

    Returns:
        Two lists of C numbers. A channel that is the same everywhere has the deviation 1, since it cannot be scaled.
    """
    chosen = fixed_order(len(examples))[: enough or ENOUGH]
    total, squares, count = torch.zeros(()), torch.zeros(()), 0
    for part in chosen.split(AT_ONCE):
        images = examples.__getitems__(part.tolist()).inputs
        values = images.transpose(0, 1).flatten(1).double() / (1 if images.is_floating_point() else 255)
        total, squares, count = total + values.sum(1), squares + (values**2).sum(1), count + values.shape[1]
    mean = total / count
    deviation = (squares / count - mean**2).clamp(min=0).sqrt()
    return mean.tolist(), torch.where(deviation > 1e-6, deviation, 1.0).tolist()
