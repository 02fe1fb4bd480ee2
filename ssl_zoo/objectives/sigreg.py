"""SIGReg: how far vectors are from a standard normal distribution, along random directions."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather, world_size
from ssl_zoo.randomness import normal

# Where the characteristic functions are compared, as in the authors' example.
KNOTS, LIMIT = 17, 3.0


def random_directions(key: Tensor, dim: int, count: int) -> Tensor:
    """Directions spread evenly over the sphere, a pure function of a key: every rank with this key has the same.

    Args:
        key: ``(1,)`` int64 from `ssl_zoo.randomness`.
        dim: size of the vectors.
        count: number of directions, S.

    Returns:
        ``(dim, S)`` float32, columns of unit length.
    """
    return F.normalize(normal(key, dim, count)[0], dim=0)


def sigreg(projections: Tensor, directions: Tensor, knots: int = KNOTS, limit: float = LIMIT) -> Tensor:
    """Sketched isotropic Gaussian regularisation (Balestriero and LeCun, 2025, arXiv:2511.08544).

    The statistic of Epps and Pulley for each view and direction a, with N projections z in the global batch:

        T = N * integral of |mean of exp(i t a.z) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt

    from -limit to limit, by the trapezoidal rule. Each view has a test of its own: put together, the views of an
    example would be one sample of points that are not independent.

    Args:
        projections: ``(V, B, D)``, the projections of V views of each example, as many on every rank.
        directions: ``(D, S)`` of unit length, the same on every rank.
        knots: number of values of t from 0 to the limit.
        limit: largest value of t.

    Returns:
        Scalar float32, the mean over views and directions, the same on every rank: about 1.05 where projections are
        standard normal, whatever N is, and ``N * AT_A_POINT`` where all of them are zero.
    """
    with torch.autocast(projections.device.type, enabled=False):
        t = torch.linspace(0, limit, knots, device=projections.device)
        angles = (projections.float() @ directions)[..., None] * t  # (V, B, S, T)
        local = torch.stack([angles.cos().mean(1), angles.sin().mean(1)])
        # The mean over ranks that have as many examples each is that over the whole batch.
        real, imaginary = all_gather(local[None]).mean(0)
        count = projections.shape[1] * world_size()
        return epps_pulley(real, imaginary, count, t).mean()


def epps_pulley(real: Tensor, imaginary: Tensor, count: int, t: Tensor) -> Tensor:
    """The statistic of an empirical characteristic function; it is even in t, so that half of the integral will do.

    Args:
        real: ``(..., T)`` float32, mean of cos(t x) over the sample.
        imaginary: ``(..., T)`` float32, mean of sin(t x).
        count: size of the sample.
        t: ``(T,)`` float32, increasing from 0.

    Returns:
        ``(...)`` float32, at least 0.
    """
    normal_one = (-t.square() / 2).exp()
    difference = (real - normal_one).square() + imaginary.square()
    return 2 * count * torch.trapezoid(difference * normal_one, t)


# The statistic of a sample of zeros, for each of its members: no encoder that ignores its input has less.
AT_A_POINT = float(epps_pulley(torch.ones(KNOTS), torch.zeros(KNOTS), 1, torch.linspace(0, LIMIT, KNOTS)))
