"""The contract of one image operator: what the recipes in `ssl_zoo.views.image` are composed from."""

from abc import abstractmethod

from torch import Tensor

from ssl_zoo.randomness import Draws
from ssl_zoo.views.base import Transform


class ImageTransform(Transform):
    """Changes a batch of images at random, each image by random numbers of its own.

    Attributes:
        needs_colour: whether it changes what only images of red, green and blue, or grey ones, have.
    """

    needs_colour: bool = False

    @abstractmethod
    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """Change a batch.

        Args:
            images: ``(B, C, H, W)`` float32 in [0, 1].
            draws: ``(B, numbers)``.

        Returns:
            ``(B, C, H', W')`` float32 in [0, 1].
        """
