"""The contract of one image operator: what the recipes in `ssl_zoo.views.image` are composed from."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ImageTransform(nn.Module, ABC):
    """Changes a batch of images at random, each image by random numbers of its own.

    An operator has no state, never writes into its input, draws nothing from torch's global generator and never makes
    the host wait for the device.

    Attributes:
        needs_colour: whether it changes what only images of red, green and blue, or grey ones, have.
    """

    needs_colour: bool = False

    @abstractmethod
    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """Change a batch.

        Args:
            images: ``(B, C, H, W)`` float32 in [0, 1].
            keys: ``(B,)`` int64, one per image.

        Returns:
            ``(B, C, H', W')`` float32 in [0, 1].
        """
