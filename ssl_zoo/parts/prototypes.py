"""Prototypes: learnt directions that vectors are compared with."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Prototypes(nn.Module):
    """Cosines of vectors with K learnt directions, the last layer of DINO (Caron et al., 2021, arXiv:2104.14294).

    It is a linear layer with weight normalisation whose gains are 1 and are not trained, as in the published code; the
    vectors are brought to unit length too.

    Args:
        dim: size of the vectors.
        count: number of prototypes, K.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, dim) * dim**-0.5)

    @torch.no_grad()
    def normalize(self) -> None:
        """Brings the directions to unit length, as SwAV does (Caron et al., 2020, arXiv:2006.09882)."""
        self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, vectors: Tensor) -> Tensor:
        """``(N, K)`` float32 cosines of vectors ``(N, dim)``."""
        # Cosines near 1 divided by a small temperature need more digits than bfloat16 has.
        with torch.autocast(vectors.device.type, enabled=False):
            return F.normalize(vectors.float(), dim=1) @ F.normalize(self.weight, dim=1).T
