"""The baseline of speech: log-mel frames alone and with their neighbours, recordings by mean and deviation."""

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.representations import PlaceRow, Representation, Vectors
from ssl_zoo.encoders.base import mean_over_places
from ssl_zoo.encoders.log_mel import log_mel, window_and_hop

# Frames of so many bands, put together with so many neighbours on either side.
MELS, CONTEXT = 80, 4


def log_mel_baseline(sample_rate: int) -> Representation:
    """Mean and deviation of a recording's log-mel spectrogram; at a place one frame of it, or nine.

    Args:
        sample_rate: samples per second.
    """
    window, hop = window_and_hop(sample_rate)

    def extract(batch: Batch, layers: bool) -> Vectors:
        spectra, mask = log_mel(batch.inputs, batch.mask, sample_rate, MELS)
        statistics = mean_and_deviation(spectra, mask)
        return Vectors(statistics, (statistics,), (spectra,), mask) if layers else Vectors(statistics)

    middle = slice(CONTEXT * MELS, (CONTEXT + 1) * MELS)
    rows = {
        "log-mel frame": PlaceRow(middle, "one frame of the log-mel spectrogram"),
        f"log-mel, {2 * CONTEXT + 1} frames": PlaceRow(
            slice(None), f"a frame of the log-mel spectrogram with {CONTEXT} neighbours on either side"
        ),
    }
    meaning = "mean and standard deviation of a recording's log-mel spectrogram"
    return Representation(extract, window // 2, hop, CONTEXT, rows, meaning)


def mean_and_deviation(frames: Tensor, mask: Tensor | None) -> Tensor:
    """Mean and standard deviation over real frames, ``(B, 2 * C)``, of ``(B, N, C)`` with mask ``(B, N)`` or None."""
    mean = mean_over_places(frames, mask)
    variance = mean_over_places((frames - mean[:, None]).square(), mask)
    return torch.cat([mean, variance.sqrt()], 1)
