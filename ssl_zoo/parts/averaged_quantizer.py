"""Continuous vectors to codes by the nearest entry of a codebook of running means: VQ-VAE's quantizer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.distributed import all_gather
from ssl_zoo.errors import InputError
from ssl_zoo.parts.nearest import nearest
from ssl_zoo.parts.restarts import drawn


class Coded(NamedTuple):
    """What the nearest entries make of vectors.

    Attributes:
        vectors: ``(B, N, code_dim)`` float32, the entries, with the gradient of what they stand for.
        codes: ``(B, N)`` int64, their numbers.
        penalty: ``(B, N)`` float32, the mean squared distance of a vector from its entry, with the vector's gradient.
    """

    vectors: Tensor
    codes: Tensor
    penalty: Tensor


class AveragedQuantizer(nn.Module):
    """VQ-VAE's quantizer (van den Oord et al., 2017, arXiv:1711.00937, section 3 and appendix A.1).

    A vector is projected to z and replaced by the nearest of V entries e. The gradient of what comes out goes to z as
    it is (straight-through). An entry is no parameter but the running mean of what has chosen it: with n_k of the
    global batch's vectors z choosing entry k,

        N_k <- decay N_k + (1 - decay) n_k,     m_k <- decay m_k + (1 - decay) sum of them,     e_k <- m_k / N_k

    N_k begins at 1 and m_k at the entry, so that one step moves an entry by no more than its share, and one that is not
    chosen stays where it is. Begun at 0, as in some published code, an entry that is not chosen at once is
    thrown far away and never comes back. Entries begin as vectors of the first batch; one that is not chosen for
    `patience` steps becomes a vector of the present batch, drawn at random.

    Args:
        dim: size of the vectors that come in.
        entries: number of entries, V.
        code_dim: size of an entry.
        decay: how much of the running means is kept at a step, in [0, 1).
        patience: steps after which an entry that is not chosen begins anew.

    Attributes:
        codebook: ``(V, code_dim)`` float32, the entries.
        idle: ``(V,)`` int64, steps since an entry was last chosen.

    Raises:
        InputError: a size or `decay` is out of its range.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    idle: Tensor

    def __init__(
        self, dim: int, entries: int = 512, code_dim: int = 64, decay: float = 0.99, patience: int = 50
    ) -> None:
        super().__init__()
        for name, value, least in (("entries", entries, 2), ("code_dim", code_dim, 1), ("patience", patience, 1)):
            if value < least:
                raise InputError(f"{name} is {value}; give a number of at least {least}.")
        if not 0 <= decay < 1:
            raise InputError(f"decay is {decay}; give a number from 0 up to but not including 1.")
        self.decay, self.patience = decay, patience
        self.projection = nn.Linear(dim, code_dim)
        self.register_buffer("codebook", 0.01 * torch.randn(entries, code_dim))
        self.register_buffer("counts", torch.ones(entries))
        self.register_buffer("sums", self.codebook.clone())
        # Nothing has chosen them so far: the first batch begins them.
        self.register_buffer("idle", torch.full((entries,), patience))

    def forward(self, vectors: Tensor, keys: Tensor | None = None) -> Coded:
        """Quantizes.

        Args:
            vectors: ``(B, N, dim)``.
            keys: ``(B,)`` int64, by which entries begin anew, in training; None leaves the codebook as it is.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            projected = self.projection(vectors.float())
            learns = self.training and keys is not None
            if learns and keys is not None:
                self._restart(projected.detach(), keys)
            codes = nearest(projected, self.codebook)
            entries = self.codebook[codes]  # a copy: the codebook moves on before the gradient is taken
            if learns:
                self._follow(projected.detach(), codes)
            penalty = (projected - entries).square().mean(2)
            # In this order the value is exactly that of the entries, so that equal codes have equal vectors.
            return Coded(entries + (projected - projected.detach()), codes, penalty)

    @property
    def in_use(self) -> Tensor:
        """Scalar in [0, 1], the part of the entries that have been chosen within the last `patience` steps."""
        return (self.idle < self.patience).float().mean()

    @torch.no_grad()
    def _restart(self, projected: Tensor, keys: Tensor) -> None:
        """Entries that have been idle for too long become vectors of the global batch, all different ones."""
        found = drawn(projected, torch.ones_like(projected[..., 0], dtype=torch.bool), keys, len(self.codebook))
        dead = (self.idle >= self.patience) & found.real
        self.codebook.copy_(torch.where(dead[:, None], found.vectors, self.codebook))
        self.sums.copy_(torch.where(dead[:, None], found.vectors, self.sums))
        self.counts.masked_fill_(dead, 1.0)
        self.idle.masked_fill_(dead, 0)

    @torch.no_grad()
    def _follow(self, projected: Tensor, codes: Tensor) -> None:
        """One step of the running means, by the global batch."""
        rows, chosen = projected.flatten(0, 1), codes.flatten()
        found = torch.zeros(len(self.codebook), 1 + rows.shape[1], device=rows.device)
        found.index_add_(0, chosen, nn.functional.pad(rows, (1, 0), value=1.0))
        found = all_gather(found[None]).sum(0)
        self.counts.lerp_(found[:, 0], 1 - self.decay)
        self.sums.lerp_(found[:, 1:], 1 - self.decay)
        used = found[:, 0] > 0
        means = self.sums / self.counts.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
        self.codebook.copy_(torch.where(used[:, None], means, self.codebook))
        self.idle.copy_(torch.where(used, 0, self.idle + 1))
