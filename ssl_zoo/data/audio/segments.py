"""Frame labels: what is said at the centre of every frame."""

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.audio.recordings import Recordings
from ssl_zoo.data.audio.sources.base import UNLABELLED


def frame_labels(examples: Recordings, position: int, centers: Tensor) -> Tensor:
    """The phone that is said at some moments of one example.

    Args:
        examples: a part of the data.
        position: of the example in this part.
        centers: ``(N,)`` in samples from the beginning of the recording, as a front end's offset and stride give them.

    Returns:
        ``(N,)`` int64, numbers of phones; -1 after the last segment and where the recording has no segments.
    """
    segments = examples.segments[position]
    if segments is None:
        return torch.full((len(centers),), UNLABELLED)
    # A segment's end belongs to the next one.
    places = np.searchsorted(segments.ends, centers.double().numpy() / examples.sample_rate, side="right")
    return torch.from_numpy(np.append(segments.phones, UNLABELLED)[places])
