"""BEST-RQ's codes: a random projection and a random codebook, neither of which is ever trained."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.errors import InputError
from ssl_zoo.parts.nearest import nearest


class RandomProjection(nn.Module):
    """Random-projection quantizer (Chiu et al., 2022, arXiv:2202.01855, section 3.1).

    A vector x is brought to zero mean and unit variance in every dimension, projected to a few, and gets the number of
    the nearest entry, both being brought to length 1:

        code = argmin over v of || c_v / |c_v| - P x / |P x| ||

    P starts as Xavier's uniform draws, the codebook c as draws from N(0, 1). Both are in checkpoints and are no
    parameters. Without the normalisation what is common to all vectors would decide, and few entries would be in use;
    mean and deviation are those of the training data, which `standardize` is given once.

    Args:
        dim: size P of the vectors.
        entries: number of entries, V.
        code_dim: size that vectors are projected to.

    Attributes:
        mean: ``(P,)``, subtracted from vectors.
        deviation: ``(P,)``, what they are divided by then.
        projection: ``(P, code_dim)``.
        codebook: ``(V, code_dim)``, each of length 1.

    Raises:
        InputError: there are fewer than two entries, or fewer than two numbers to project to.
    """

    mean: Tensor
    deviation: Tensor
    projection: Tensor
    codebook: Tensor

    def __init__(self, dim: int, entries: int = 8192, code_dim: int = 16) -> None:
        super().__init__()
        if entries < 2 or code_dim < 2:  # of a single number nothing but the sign is left at length 1
            raise InputError(f"entries is {entries} and code_dim {code_dim}: each must be at least 2.")
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))
        self.register_buffer("projection", nn.init.xavier_uniform_(torch.empty(dim, code_dim)))
        self.register_buffer("codebook", F.normalize(torch.randn(entries, code_dim), dim=1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Codes ``(..., )`` int64 of vectors ``(..., P)``; in float32, so that they are the same in every precision."""
        with torch.autocast(vectors.device.type, enabled=False):
            standard = (vectors.float() - self.mean) / self.deviation
            # Over the numbers of one projected vector: over time, as it once was in a peer, codes would depend on the
            # other frames of a recording.
            return nearest(F.normalize(standard @ self.projection, dim=-1), self.codebook)

    def standardize(self, statistics: Tensor) -> None:
        """Takes the mean and the deviation ``(2, P)`` of the training data, as `mean_and_deviation` gives them."""
        self.mean.copy_(statistics[0])
        self.deviation.copy_(statistics[1])


def mean_and_deviation(vectors: Tensor) -> Tensor:
    """``(2, P)`` float32 of vectors ``(M, P)``; 1 is the deviation of what is always the same, which then becomes 0."""
    variance, mean = torch.var_mean(vectors.double(), dim=0, correction=0)
    deviation = variance.sqrt()
    return torch.stack([mean, torch.where(deviation > 1e-5, deviation, 1.0)]).float()
