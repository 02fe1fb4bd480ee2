"""Continuous vectors to codes by the nearest entry of codebooks that follow them: vq-wav2vec's k-means quantizer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.distributed import all_gather
from ssl_zoo.errors import InputError
from ssl_zoo.parts.nearest import nearest
from ssl_zoo.parts.restarts import drawn


class Replaced(NamedTuple):
    """What the nearest entries make of vectors.

    Attributes:
        vectors: ``(B, K, code_dim)`` float32, the entries of all groups side by side, with the projections' gradient.
        codes: ``(B, K, G)`` int64, the nearest entry of every group.
        penalty: ``(B, K)`` float32, how far projection and entries are from each other, with a gradient for both.
    """

    vectors: Tensor
    codes: Tensor
    penalty: Tensor


class NearestQuantizer(nn.Module):
    """vq-wav2vec's k-means quantizer (Baevski et al., 2019, arXiv:1910.05453, section 3.2, equation 5).

    A vector is cut into G parts; each is projected by a matrix of its own and normalised, z, and replaced by the
    nearest of V entries, q. The gradient of what comes out goes to z as it is (straight-through), and the penalty is

        mean of (q - sg(z))^2  +  commitment * mean of (z - sg(q))^2,       sg stopping the gradient

    Other than in the authors' code every frame is normalised by itself, so that padding does not matter, and groups
    have codebooks of their own. Entries begin as vectors of the first batch; one that no vector of the global batch has
    chosen for `patience` steps becomes a vector of the present one, drawn at random, so that none stays dead.

    Args:
        dim: size C of the vectors, a multiple of G.
        groups: number of codebooks, G.
        entries: number of entries of each codebook, V.
        code_dim: size of what comes out, a multiple of G.
        commitment: weight of the penalty's second term.
        patience: steps after which an entry that is not used begins anew.

    Raises:
        InputError: groups do not divide the sizes, or there are too few groups, entries or numbers in a group.
    """

    idle: Tensor

    def __init__(
        self,
        dim: int,
        groups: int = 2,
        entries: int = 320,
        code_dim: int = 256,
        commitment: float = 0.25,
        patience: int = 50,
    ) -> None:
        super().__init__()
        if groups < 1 or dim % groups or code_dim % groups or code_dim < groups:
            raise InputError(
                f"groups {groups} divides not both the frames' size {dim} and code_dim {code_dim}; choose numbers that "
                "divide."
            )
        if code_dim < 2 * groups:
            raise InputError(
                f"code_dim is {code_dim} for groups {groups}: give at least two numbers to each, as of one that is "
                "normalised by itself nothing is left."
            )
        if entries < 2:
            raise InputError(f"entries is {entries}; a codebook needs at least 2.")
        self.groups, self.entries, self.commitment, self.patience = groups, entries, commitment, patience
        self.projection = nn.Conv1d(dim, code_dim, 1, groups=groups, bias=False)
        self.norm = nn.GroupNorm(groups, code_dim)
        self.codebooks = nn.Parameter(0.01 * torch.randn(groups, entries, code_dim // groups))
        # Nothing has used them so far: the first batch begins them.
        self.register_buffer("idle", torch.full((groups, entries), patience))

    def no_weight_decay(self) -> list[str]:
        """The codes, which are values and no weights."""
        return ["codebooks"]

    def forward(self, vectors: Tensor, real: Tensor, keys: Tensor | None = None) -> Replaced:
        """Quantizes.

        Args:
            vectors: ``(B, K, C)``.
            real: ``(B, K)`` bool, which of them entries may begin anew as.
            keys: ``(B,)`` int64, by which such are drawn; None leaves the codebooks as they are, as evaluation does.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            rows = self.projection(vectors.float().flatten(0, 1)[..., None])[..., 0]
            projected = self.norm(rows).view(*vectors.shape[:2], self.groups, -1)
            if self.training and keys is not None:
                self._restart(projected.detach(), real, keys)
            parts = zip(projected.unbind(2), self.codebooks, strict=True)
            codes = torch.stack([nearest(part, entries) for part, entries in parts], 2)
            if self.training and keys is not None:
                self._count(codes, real)
            groups = torch.arange(self.groups, device=codes.device)
            entries = self.codebooks[groups, codes]
            away = (entries - projected.detach()).square() + self.commitment * (projected - entries.detach()).square()
            # In this order the value is exactly that of the entries, so that equal codes have equal vectors.
            passed_on = entries.detach() + (projected - projected.detach())
        return Replaced(passed_on.flatten(2), codes, away.mean((2, 3)))

    @torch.no_grad()
    def _restart(self, projected: Tensor, real: Tensor, keys: Tensor) -> None:
        """Entries that have been idle for too long become real vectors of the global batch, all different ones."""
        found = drawn(projected, real, keys, self.entries)
        dead, others = (self.idle >= self.patience) & found.real, found.vectors.transpose(0, 1)
        self.codebooks.copy_(torch.where(dead[..., None], others, self.codebooks))
        self.idle.masked_fill_(dead, 0)

    @torch.no_grad()
    def _count(self, codes: Tensor, real: Tensor) -> None:
        """One more idle step for every entry that no real vector of the global batch has chosen."""
        numbers = codes + torch.arange(self.groups, device=codes.device) * self.entries
        used = torch.zeros(self.idle.numel(), device=codes.device)
        used.scatter_add_(0, numbers.flatten(), real[..., None].expand_as(numbers).flatten().float())
        used = all_gather(used[None]).sum(0).view_as(self.idle)
        self.idle.copy_(torch.where(used > 0, 0, self.idle + 1))
