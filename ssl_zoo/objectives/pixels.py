"""What generative methods of images assume of a pixel, given what their decoder makes of a code."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather
from ssl_zoo.objectives import elbo
from ssl_zoo.randomness import uniform

Likelihood = Literal["bernoulli", "gaussian"]


def as_unit_floats(images: Tensor) -> Tensor:
    """Images in [0, 1], of uint8 ones in [0, 255] or floats that are so already."""
    return images if images.is_floating_point() else images / 255


def pixel_targets(images: Tensor, keys: Tensor, likelihood: str) -> Tensor:
    """The images ``(B, C, H, W)`` whose likelihood counts; 8-bit ones are dequantised for the Gaussian.

    Args:
        images: uint8 in [0, 255] or float in [0, 1].
        keys: ``(B,)`` int64, by which noise of one grey level is drawn (arXiv:1511.01844, section 3.1).
        likelihood: `bernoulli` or `gaussian`.
    """
    if likelihood != "gaussian" or images.is_floating_point():
        return as_unit_floats(images)
    return (images + uniform(keys, *images.shape[1:])) / 256


def pixel_log_likelihood(targets: Tensor, decoded: Tensor, likelihood: str, variance: Tensor) -> Tensor:
    """The log-likelihood ``(B,)`` in nats of images, given what a decoder gives.

    Args:
        targets: ``(B, C, H, W)`` as `pixel_targets` gives them.
        decoded: the same shape; logits for `bernoulli`, the mean of every pixel for `gaussian`.
        likelihood: `bernoulli` or `gaussian`.
        variance: scalar, of a pixel under the Gaussian.
    """
    if likelihood == "bernoulli":
        return elbo.bernoulli_log_likelihood(targets, decoded)
    # A copy: the original moves on before the gradient is taken.
    return elbo.gaussian_log_likelihood(targets, decoded, variance.clone())


def grey_levels(images: Tensor, likelihood: str) -> int:
    """How many levels of grey a density is one of, for `elbo.bits_per_dim`: 1 where it is none, or images are floats.

    Args:
        images: the images as they come, uint8 or float.
        likelihood: `bernoulli` or `gaussian`.
    """
    return 256 if likelihood == "gaussian" and not images.is_floating_point() else 1


def mean_images(decoded: Tensor, likelihood: str) -> Tensor:
    """The mean images ``(B, C, H, W)`` float32 in [0, 1] of what a decoder gives."""
    return decoded.float().sigmoid() if likelihood == "bernoulli" else decoded.float().clamp(0, 1)


@torch.no_grad()
def fit_variance(variance: Tensor, targets: Tensor, decoded: Tensor) -> None:
    """Moves the variance of a pixel towards the mean squared error of the global batch, that of highest likelihood.

    A learning rate made for weights would take thousands of steps to get there. It counts from the next step on: an
    example's likelihood depends on no other example of its batch.

    Args:
        variance: scalar, changed in place.
        targets: images as `pixel_targets` gives them.
        decoded: the mean of every pixel.
    """
    error = all_gather(F.mse_loss(decoded.float(), targets)[None]).mean()
    variance.lerp_(error.clamp_min(1e-6), 0.1)
