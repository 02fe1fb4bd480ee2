"""Frames of speech to be predicted: those that are hidden, as codes or as they are, and those to come."""

import torch
from torch import Tensor

from ssl_zoo.parts.codebooks import GumbelQuantizer, code_use


def hidden_frames(
    frames: Tensor, valid: Tensor, quantizer: GumbelQuantizer | None, keys: Tensor, temperature: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The targets of wav2vec 2.0 (Baevski et al., 2020, arXiv:2006.11477, section 2), before their projection.

    Args:
        frames: ``(B, K, C)``, the normalised frames at hidden places.
        valid: ``(B, K)`` bool, which of them are hidden; the others are not counted.
        quantizer: Makes codes of frames; None leaves them as they are (table 4).
        keys: ``(B,)`` int64, of the quantizer's noise.
        temperature: Of the quantizer, above 0.

    Returns:
        ``(B, K, D)``, and with a quantizer scalars by name: the penalty on unused codes "diversity", with gradient, and
        "code_perplexity", as `code_use` has them.
    """
    if quantizer is None:
        return frames, {}
    quantized = quantizer(frames, keys, temperature)
    diversity, perplexity = code_use(quantized, valid)
    return quantized.vectors, {"diversity": diversity, "code_perplexity": perplexity}


def frames_ahead(counts: Tensor, frames: int, offset: int, steps: int) -> tuple[Tensor, Tensor]:
    """Which frames wav2vec and CPC predict from each frame (Schneider et al., 2019, arXiv:1904.05862, section 3.2).

    Args:
        counts: ``(B,)`` int64, the real frames of every recording, which are its first ones.
        frames: How many frames predict, N.
        offset: Frames from one that predicts to the first that it predicts.
        steps: How many it predicts, S.

    Returns:
        The places ``(B, N * S)`` int64 of the first frame's S targets, then the second's, and so on; and bool of the
        same shape, False where the recording has no such frame.
    """
    ahead = offset + torch.arange(steps, device=counts.device)
    places = (torch.arange(frames, device=counts.device)[:, None] + ahead).flatten().expand(len(counts), -1)
    return places, places < counts[:, None]
