"""The evidence lower bound and its parts, for a Gaussian posterior N(mean, exp(log_variance)) and a prior N(0, I).

Everything is in nats per example. Sums over a thousand pixels, and differences of such sums, need more digits than
bfloat16 has: inputs become float32, and all that is done to them is elementwise or a sum, which autocast leaves alone.
Constants are never dropped, so that numbers can be compared.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather

LOG_2PI = math.log(2 * math.pi)

# A latent dimension is active when its posterior mean varies more than this over the data (Burda et al., section 5.2).
ACTIVE_VARIANCE = 0.01


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of every dimension (Kingma and Welling, 2013, appendix B).

    Args:
        mean: ``(B, L)``.
        log_variance: ``(B, L)``.

    Returns:
        ``(B, L)`` float32, at least 0.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance)


def bernoulli_log_likelihood(images: Tensor, logits: Tensor) -> Tensor:
    """The log-likelihood log p(x | z) with every pixel a Bernoulli variable; grey values count as that share of ones.

    Args:
        images: ``(B, ...)`` in [0, 1].
        logits: logits of the same shape.

    Returns:
        ``(B,)`` float32, at most 0. On grey values it cannot reach 0 (its best is minus the images' own entropy), and
        it is no log-probability of the 8-bit image.
    """
    distance = F.binary_cross_entropy_with_logits(logits.float(), images.float(), reduction="none")
    return -distance.flatten(1).sum(1)


def multinomial_log_likelihood(counts: Tensor, logits: Tensor) -> Tensor:
    """The log-likelihood log p(x | z) of a text's words in their order, each drawn from the same softmax.

    Args:
        counts: ``(B, V)`` at least 0, how often each word stands in the text.
        logits: ``(B, V)``; -inf for words that are never counted.

    Returns:
        ``(B,)`` float32, at most 0.
    """
    nats = F.log_softmax(logits.float(), dim=1)
    return (counts.float() * nats.masked_fill(counts == 0, 0.0)).sum(1)


def gaussian_log_likelihood(images: Tensor, mean: Tensor, variance: float | Tensor) -> Tensor:
    """The log-likelihood log p(x | z) with every pixel a Gaussian variable around `mean`.

    Args:
        images: ``(B, ...)``.
        mean: mean of the same shape.
        variance: variance of a pixel, one for all; a number or a scalar tensor.

    Returns:
        ``(B,)`` float32, the log of a density.
    """
    errors = (images.float() - mean.float()).flatten(1)
    variance = torch.as_tensor(variance, dtype=torch.float32, device=errors.device)
    return -0.5 * (errors.square().sum(1) / variance + errors.shape[1] * (LOG_2PI + variance.log()))


def posterior_log_density(latents: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The log-density log q(z | x), ``(B,)`` float32, for latents, means and log variances ``(B, L)``."""
    scaled = (latents - mean).float().square() * torch.exp(-log_variance.float())
    return -0.5 * (scaled + log_variance.float() + LOG_2PI).sum(1)


def prior_log_density(latents: Tensor) -> Tensor:
    """The log-density log p(z), ``(B,)`` float32, for latents ``(B, L)``."""
    return -0.5 * (latents.float().square() + LOG_2PI).sum(1)


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """KL in which no dimension is pressed below `nats` (Kingma et al., 2016, arXiv:1606.04934, equation 15).

    Args:
        kl: ``(B, L)`` from `kl_to_standard_normal`, of this rank's examples.
        nats: lambda. The mean it is compared with is taken over the global batch: one process on the whole batch gets
            the same value and gradient.

    Returns:
        Scalar, the sum over dimensions of max(nats, mean KL); the plain mean KL of this rank when `nats` is 0.
    """
    if nats == 0:
        return kl.sum(1).mean()
    return all_gather(kl.mean(0, keepdim=True)).mean(0).clamp_min(nats).sum()


def score_function_surrogate(log_likelihood: Tensor, log_density: Tensor) -> Tensor:
    """What to maximise for the score-function gradient of E_q[log p(x | z)] (also called REINFORCE).

    Its value is the log-likelihood; its gradient adds (log p(x_i | z_i) - b_i) * d log q(z_i | x_i). The baseline b_i
    is the mean of the others in the global batch: they are drawn independently of z_i, so no bias comes in.

    Args:
        log_likelihood: ``(B,)`` log p(x | z); no example's may depend on another's z, as batch norm would have it.
        log_density: ``(B,)`` log q(z | x) of latents without gradient.

    Returns:
        ``(B,)``.
    """
    fixed = log_likelihood.detach()
    total, count = all_gather(torch.stack([fixed.sum(), fixed.new_tensor(len(fixed))])[None]).sum(0)
    baseline = (total - fixed) / (count - 1).clamp_min(1)
    return log_likelihood + (fixed - baseline) * (log_density - log_density.detach())


def importance_bound(log_weights: Tensor) -> Tensor:
    """The importance-weighted bound on log p(x) (Burda et al., 2015, arXiv:1509.00519, equation 8).

    Args:
        log_weights: ``(K, B)``, log p(x, z) - log q(z | x) of K draws from the posterior.

    Returns:
        ``(B,)``, the log of the mean weight: the ELBO for K = 1, in expectation rising with K, to log p(x).
    """
    return log_weights.float().logsumexp(0) - math.log(len(log_weights))


def bits_per_dim(log_likelihood: Tensor, dimensions: int, levels: int = 1) -> Tensor:
    """Nats per example as bits per pixel and channel; lower is better.

    Args:
        log_likelihood: log-likelihood in nats, a bound or the thing itself.
        dimensions: C * H * W.
        levels: grey levels in [0, 1] for a density of dequantised images (256 for 8-bit ones), which adds log2(levels):
            the result bounds what a lossless code of the integers needs (Theis et al., 2015, arXiv:1511.01844, section
            3.1). 1 for probabilities.
    """
    return -log_likelihood / (dimensions * math.log(2)) + math.log2(levels)


def active_units(means: Tensor) -> Tensor:
    """How many latent dimensions say anything about the input (Burda et al., 2015, arXiv:1509.00519, section 5.2).

    Args:
        means: ``(N, L)`` posterior means.

    Returns:
        Scalar float32: the dimensions whose mean varies by more than 0.01 over the data.
    """
    return (means.float().var(0, correction=0) > ACTIVE_VARIANCE).float().sum()
