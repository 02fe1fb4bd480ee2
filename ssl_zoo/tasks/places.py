"""Vectors at places within examples: the nearest ones, whatever an encoder's stride is."""

import torch
from torch import Tensor


def nearest_frames(samples: Tensor, counts: Tensor, offset: int, stride: int) -> Tensor:
    """The vectors whose centres are nearest to some places, the later one of two.

    Args:
        samples: ``(P,)`` int64, the places in raw inputs such as samples.
        counts: ``(P,)`` int64, real vectors of the example that each is in.
        offset: the raw input at the centre of vector 0.
        stride: raw inputs from one vector to the next.

    Returns:
        ``(P,)`` int64.
    """
    return ((samples - offset + stride // 2) // stride).clamp(min=0).minimum(counts - 1)


def frames_at(frames: Tensor, rows: Tensor, places: Tensor, counts: Tensor, context: int) -> Tensor:
    """Single vectors put together with their neighbours; beyond an end stands the vector there.

    Args:
        frames: ``(B, N, C)``.
        rows: ``(P,)`` int64, the example of each vector wanted.
        places: ``(P,)`` int64, its place there.
        counts: ``(P,)`` int64, real vectors of that example.
        context: neighbours on either side.

    Returns:
        ``(P, (2 * context + 1) * C)``, the frame itself in the middle.
    """
    shifts = torch.arange(-context, context + 1, device=frames.device)
    wanted = (places[:, None] + shifts).clamp(min=0).minimum(counts[:, None] - 1)
    return frames[rows[:, None], wanted].flatten(1)


def real_counts(frames: Tensor, mask: Tensor | None) -> Tensor:
    """``(B,)`` int64, how many vectors of ``(B, N, C)`` are real."""
    if mask is None:
        return torch.full((len(frames),), frames.shape[1], device=frames.device)
    return mask.sum(1)
