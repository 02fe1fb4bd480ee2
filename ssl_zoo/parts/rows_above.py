"""Context from above: a network over a grid of vectors that never looks down."""

from torch import Tensor, nn


class RowsAbove(nn.Module):
    """What stands in a place's own row and above it, by masked convolutions (arXiv:1905.09272, appendix).

    Residual blocks of convolutions, each of which sees its own row and the one above, from one column to the left to
    one to the right: a vector of n blocks knows the n rows above it. There are no norms, which would let rows see each
    other.

    Args:
        dim: size of the vectors, before and after.
        hidden: size of the vectors within a block.
        blocks: number of blocks; 5 in the paper.
    """

    def __init__(self, dim: int, hidden: int = 256, blocks: int = 5) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(dim, hidden, 1),
                nn.ReLU(inplace=True),
                nn.ZeroPad2d((1, 1, 1, 0)),  # a row above and none below: what the convolution sees is masked so
                nn.Conv2d(hidden, hidden, (2, 3)),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, dim, 1),
            )
            for _ in range(blocks)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Context ``(B, rows, columns, dim)`` of vectors of that shape."""
        maps = vectors.permute(0, 3, 1, 2)
        for block in self.blocks:
            maps = maps + block(maps)
        return maps.permute(0, 2, 3, 1)
