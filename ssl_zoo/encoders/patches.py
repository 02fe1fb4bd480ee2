"""What encoders of square patches of images share: what is at each place, and how places make up an image."""

from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.encoders.base import Encoder


class PatchEncoder(Encoder):
    """An encoder whose places are square patches of an image that do not overlap, row by row.

    A subclass has for `stride` the side of a patch, and for `content_dim` ``channels * stride**2``.
    """

    modality = "image"

    def contents(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The pixels of every patch ``(B, N, channels * side * side)`` in [0, 1], one channel after the other."""
        return F.unfold(inputs.float(), self.stride, stride=self.stride).transpose(1, 2)

    def grid(self, inputs: Tensor) -> tuple[int, int]:
        """Patches from top to bottom and from left to right."""
        return inputs.shape[2] // self.stride, inputs.shape[3] // self.stride

    def arrange(self, values: Tensor, inputs: Tensor) -> Tensor:
        """The image that patches make up, as large as whole patches reach."""
        size = tuple(patches * self.stride for patches in self.grid(inputs))
        return F.fold(values.transpose(1, 2), size, self.stride, stride=self.stride)
