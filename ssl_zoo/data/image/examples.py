"""Some of a source's images as a part of the data, alone or each with another that shows the same."""

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import UNLABELLED, Examples
from ssl_zoo.data.image.sources.base import Images


class ImageExamples(Examples):
    """Some of a source's images.

    Args:
        images: all of the source's images.
        chosen: ``(N,)`` int64, the positions in `images` of the examples; they become `Batch.index`.
        size: height and width in pixels.
        stored_size: height and width of the whole images that views are cut from, in `Batch.fields`; None when views
            and encoders see the same.
        partners: int64, the position in `images` of another image that shows the same as each of them, or its own;
            these become fields, too. None leaves them out.
    """

    def __init__(
        self,
        images: Images,
        chosen: Tensor,
        size: int,
        stored_size: int | None = None,
        partners: Tensor | None = None,
    ) -> None:
        self.images, self.chosen, self.size, self.stored_size = images, chosen, size, stored_size
        self.partners = partners
        labels = None if images.labels is None else images.labels[chosen]
        self.labels = None if labels is None or (labels == UNLABELLED).any() else labels

    @property
    def positions(self) -> Tensor:
        """See `Examples`."""
        return self.chosen

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> Batch:
        """The examples at these positions; ``(B, C, size, size)``."""
        local = torch.tensor(positions, dtype=torch.int64)
        index = self.chosen[local]
        labels = None if self.labels is None else self.labels[local]
        inputs, fields = self._read(index)
        if self.partners is not None:
            fields["partner"], others = self._read(self.partners[index])
            fields |= {f"partner_{name}": field for name, field in others.items()}
        return Batch(inputs, None, labels, index, fields or None)

    def _read(self, index: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What encoders see of images, and what views are cut from where that is more."""
        if self.stored_size is None:
            return self.images.read(index, self.size), {}
        middle, whole, aspect = self.images.read_whole(index, self.size, self.stored_size)
        return middle, {"whole": whole, "aspect": aspect}
