"""Images as numbers around zero, of the channels that a network is built for."""

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError


class Normalize(nn.Module):
    """Images as a network wants them: from [0, 1] to (x - mean) / std.

    Args:
        mean: one number or one per channel.
        std: one number or one per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | list[float], std: float | list[float]) -> None:
        super().__init__()
        # Settings, not state: they come back with the constructor, so weight files stay those of the plain network.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor, channels: int) -> Tensor:
        """Normalised images.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].
            channels: the C that the network was built for.

        Raises:
            InputError: the images have another number of channels than the network, or than mean or std.
        """
        if images.shape[1] != channels:
            raise InputError(
                f"The encoder is built for {channels} image channels but the images have {images.shape[1]}; "
                "set the encoder's `channels` to match the data."
            )
        if not {len(self.mean), len(self.std)} <= {1, channels}:
            raise InputError(
                f"The encoder's mean and std have {len(self.mean)} and {len(self.std)} numbers but the images have "
                f"{channels} channels: give one number, or one per channel."
            )
        return (images - self.mean) / self.std
