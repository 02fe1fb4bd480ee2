"""An encoder of one's own: a small transformer on the patches of an image."""

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.base import Embedded, Encoded
from ssl_zoo.encoders.patches import PatchEncoder


class MyEncoder(PatchEncoder):
    """Patches as vectors, which see each other in a few layers.

    Methods may replace the vectors of patches (SimMIM) or leave some out (MAE), as positions come only in
    `contextualize`. An encoder without such a step says neither `maskable` nor `droppable`.

    Args:
        channels: Image channels; comes from the data.
        image_size: Height and width in pixels; comes from the data.
        patch_size: Height and width of a patch in pixels.
        dim: Size of the vectors.
        depth: Number of layers.
    """

    maskable = droppable = True

    def __init__(
        self, channels: int = 3, image_size: int = 32, patch_size: int = 4, dim: int = 64, depth: int = 2
    ) -> None:
        super().__init__()
        self.channels, self.dim, self.stride, self.offset = channels, dim, patch_size, patch_size // 2
        self.num_layers = depth + 1  # what enters the first one, too
        self.content_dim = channels * patch_size**2  # pixels of a patch, which such methods predict
        self.patches = nn.Conv2d(channels, dim, patch_size, patch_size)
        self.positions = nn.Parameter(0.02 * torch.randn((image_size // patch_size) ** 2, dim))
        layer = (dim, 4, 4 * dim, 0.0)  # size, heads, hidden width, dropout
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(*layer, batch_first=True, norm_first=True) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """``(B, N, dim)``, one vector per patch, of images ``(B, C, H, W)`` in [0, 1]."""
        return Embedded(self.patches(2 * inputs - 1).flatten(2).mT)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Adds positions and context; the mean over patches stands for the image."""
        vectors = embedded.vectors + (self.positions if places is None else self.positions[places])
        states = [vectors]
        for layer in self.layers:
            states.append(layer(states[-1]))
        sequence = self.norm(states[-1])
        return Encoded(sequence, sequence.mean(1), None, tuple(states) if layers else ())

    def no_weight_decay(self) -> list[str]:
        """Positions."""
        return ["positions"]
