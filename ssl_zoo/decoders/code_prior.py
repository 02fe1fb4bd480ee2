"""A GPT on the codes of images: how likely they are, and codes of new ones."""

import torch
from torch import Tensor, nn

from ssl_zoo.decoders.sequence import transformer
from ssl_zoo.encoders.positions import plane_positions

Grid = tuple[int, int]


class CodePrior(nn.Module):
    """Predicts every code from those before it, one grid after the other and each row by row.

    In VQ-VAE (arXiv:1711.00937, section 3.3) it is a PixelCNN, in VQ-VAE-2 (arXiv:1906.00446, section 3.2) such a one
    with attention. Here it is a transformer on the codes of all grids: what predicts a code sees the code before it and
    where the one to come stands.

    Args:
        entries: number of codes of every grid.
        dim: size of its vectors, a multiple of 4, which positions need, and of `heads`.
        depth: transformer layers.
        heads: attention heads.

    Raises:
        InputError: `dim` cannot be divided so, or there is no layer.
    """

    def __init__(self, entries: tuple[int, ...], dim: int = 128, depth: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.layers, self.norm = transformer("The prior", dim, depth, heads)
        self.start = nn.Parameter(torch.randn(1, 1, dim))
        self.embeddings = nn.ModuleList(nn.Embedding(count, dim) for count in entries)
        self.heads = nn.ModuleList(nn.Linear(dim, count) for count in entries)
        # What is added to a grid's positions distinguishes it from the others; it is as long as they are.
        self.kinds = nn.Parameter(torch.randn(len(entries), dim))

    def no_weight_decay(self) -> list[str]:
        """What is added to positions, and what begins."""
        return ["start", "kinds"]

    def forward(self, codes: list[Tensor], grids: list[Grid]) -> list[Tensor]:
        """Logits of every code, ``(B, N_g, entries_g)`` for every grid, each given all codes before it.

        Args:
            codes: ``(B, N_g)`` int64 of every grid; fewer grids than there are, and of the last one fewer rows and
                columns, are the beginning of an image.
            grids: rows and columns of every grid, whole ones.
        """
        vectors = self._vectors(codes, grids).split([each.shape[1] for each in codes], dim=1)
        return [head(part) for head, part in zip(self.heads, vectors, strict=False)]

    def _vectors(self, codes: list[Tensor], grids: list[Grid]) -> Tensor:
        """``(B, N, dim)``, what predicts every code."""
        embedded = torch.cat([each(code) for each, code in zip(self.embeddings, codes, strict=False)], dim=1)
        places = [
            kind + plane_positions(*grid, embedded.shape[2])[: code.shape[1]].to(embedded.device)
            for kind, grid, code in zip(self.kinds, grids, codes, strict=False)
        ]
        begun = torch.cat([self.start.expand(len(embedded), -1, -1), embedded[:, :-1]], dim=1)
        vectors = begun + torch.cat(places)
        before = torch.ones(vectors.shape[1], vectors.shape[1], dtype=torch.bool, device=vectors.device).tril()
        for layer in self.layers:
            vectors = layer(vectors, before[None, None])
        return self.norm(vectors)
