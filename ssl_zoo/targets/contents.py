"""What is at places as numbers to be predicted: each place's brought to a scale of its own."""

import torch
from torch import Tensor

from ssl_zoo.errors import InputError


def own_scale(contents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (unbiased) standard deviation of every place's numbers, as MAE takes them (arXiv:2111.06377, section 3).

    Args:
        contents: ``(B, K, P)`` float32, what is at places; P at least 2.

    Returns:
        Both ``(B, K, 1)``; the deviation is that of the variance plus 1e-6, so that even places become zeros.
    """
    variance, mean = torch.var_mean(contents, dim=2, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def require_scale(numbers: int, method: str) -> None:
    """Raise `InputError` where what is at a place is so few numbers, P, that they have no scale of their own."""
    if numbers < 2:
        raise InputError(
            f"{method} brings what it predicts of each place to zero mean and unit variance, and of the one number "
            "that a place of this encoder has, nothing is left: set normalize_targets to false, or make patches larger."
        )
