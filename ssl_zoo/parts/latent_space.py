"""The latent space of a variational autoencoder: where the posterior puts an example, and points to look at."""

import torch
from torch import Tensor, nn


def posterior(head: nn.Linear, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance of a diagonal Gaussian q(z | x), each ``(B, L)`` float32.

    Args:
        head: layer from an encoder's D dimensions to 2 L.
        pooled: ``(B, D)``, the encoder's pooled vectors.
    """
    with torch.autocast(pooled.device.type, enabled=False):  # the code is small; rounding it would buy no time
        mean, raw = head(pooled.float()).chunk(2, dim=1)
    # Unbounded, its exponential can overflow in the first steps; a clamp would leave no gradient to come back by.
    return mean, 10 * torch.tanh(raw / 10)


def interpolate(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Points between pairs of latent vectors, along the arc (White, 2016, arXiv:1609.04468).

    In many dimensions nearly all of the prior lies at one distance from the origin. A straight line leaves that shell
    for places the decoder has not seen in training; an arc stays in it.

    Args:
        first: ``(B, L)``.
        second: ``(B, L)``.
        steps: points per pair, both ends included.

    Returns:
        ``(B, steps, L)``. Where two vectors point the same or the opposite way there is no arc, and the line is taken.
    """
    part = torch.linspace(0, 1, steps, device=first.device)[:, None]
    first, second = first[:, None], second[:, None]
    cosine = torch.cosine_similarity(first, second, dim=2).clamp(-1, 1)[..., None]
    angle = cosine.arccos()
    arc = (torch.sin((1 - part) * angle) * first + torch.sin(part * angle) * second) / angle.sin()
    return torch.where(cosine.abs() < 0.9999, arc, (1 - part) * first + part * second)


def manifold(means: Tensor, side: int) -> Tensor:
    """A grid over the latent space, evenly spaced in probability (Kingma and Welling, 2013, figure 4).

    Args:
        means: ``(N, L)`` posterior means.
        side: points along an axis, at the quantiles of a Gaussian from 2.5 to 97.5 %.

    Returns:
        ``(side * side, L)``, row by row. With two latent dimensions the grid is the prior's; with more it lies in the
        plane of the posterior means' first two principal components and has their spread; with one it is a line.
    """
    quantiles = torch.special.ndtri(torch.linspace(0.025, 0.975, side, device=means.device))
    axes = min(2, means.shape[1])
    centre, directions = torch.zeros_like(means[0]), torch.eye(axes, device=means.device)
    if means.shape[1] > 2:
        centre = means.mean(0)
        _, singular, components = torch.linalg.svd(means - centre, full_matrices=False)
        directions = (components * singular[:, None])[:2] / len(means) ** 0.5
    points = torch.cartesian_prod(*[quantiles] * axes).view(-1, axes)
    return centre + points[:, : len(directions)] @ directions
