"""Images as numbers around zero, of the channels that a network is built for."""

from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError

# In place of a number: what the data measures of its training images.
Number = float | list[float] | Literal["data"]
FROM_DATA: Literal["data"] = "data"
Measured = tuple[list[float], list[float]]


def take_measured(
    kind: str, mean: Number | None, std: Number | None, measured: Measured | None
) -> tuple[float | list[float] | None, float | list[float] | None]:
    """Mean and standard deviation as numbers, those of the data where that has measured some.

    Args:
        kind: the encoder's name.
        mean: mean as given, `data` for the data's; None where it was left out.
        std: standard deviation as given, likewise.
        measured: mean and standard deviation of every channel of the training images, where the data measures them.
            Where one of `mean` and `std` is `data`, a number given for the other stays.

    Raises:
        InputError: the data's are asked for, and nothing has measured them.
    """
    if mean != FROM_DATA and std != FROM_DATA:
        return (mean, std) if measured is None else measured
    if measured is None:
        raise InputError(
            f"{kind}: mean and std are to be the data's, which no data has measured here: train on images with "
            "`ssl-zoo fit`, or in Python give `statistics=data.statistics` of an ImageData(measure_statistics=True)."
        )
    return (measured[0] if mean == FROM_DATA else mean), (measured[1] if std == FROM_DATA else std)


class Normalize(nn.Module):
    """Images as a network wants them: from [0, 1] to (x - mean) / std.

    Args:
        mean: one number or one per channel.
        std: one number or one per channel, above 0.

    Raises:
        InputError: `std` is not above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | list[float], std: float | list[float]) -> None:
        super().__init__()
        if min(std if isinstance(std, list) else [std]) <= 0:
            raise InputError(f"The encoder's std is {std}, by which images are divided: give numbers above 0.")
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
