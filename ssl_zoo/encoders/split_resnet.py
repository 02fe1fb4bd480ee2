"""Two residual networks side by side: one sees an image's lightness, and the other one its colours."""

from typing import Any, Literal

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.encoders.lab import to_lab
from ssl_zoo.encoders.published_resnet import Depth
from ssl_zoo.errors import InputError

FARTHEST = 110.0  # a and b of what screens show lie between this and its negative


class SplitResNet(Encoder):
    """A ResNet for lightness and one for colours, which share nothing (Tian et al., 2019, arXiv:1906.05849).

    Images in colour become CIELAB; one network sees L, the other one a and b, each brought to [0, 1]. A vector of the
    whole is one of each, side by side, in the sequence, in the pooled vectors and in every layer.

    Args:
        depth: number of layers of each network: 10, 18, 34, 50, 101 or 152.
        width: channels of the first stage of each network, see `ResNet`; in the paper both together are as wide as one.
        stem: first layers of each network: `small` for images up to about 64 pixels, or `large`, see `ResNet`.
    """

    modality = "image"
    num_layers = 5
    channels = 3
    halves = True

    def __init__(self, depth: Depth = 18, width: int = 32, stem: Literal["small", "large"] = "small") -> None:
        super().__init__()
        self.lightness = ResNet(depth, width, stem, channels=1)
        self.colours = ResNet(depth, width, stem, channels=2)
        self.dim, self.stride = 2 * self.lightness.dim, self.lightness.stride

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"depth": 10, "width": 4}

    def parameter_layers(self) -> list[list[str]]:
        """Those of both networks: the stems, then every residual block."""
        layers = zip(self.lightness.parameter_layers(), self.colours.parameter_layers(), strict=True)
        return [[*(f"lightness.{name}" for name in one), *(f"colours.{name}" for name in two)] for one, two in layers]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The pixels in CIELAB ``(B, H * W, 3)``, row by row, each number in [0, 1]; images are never padded.

        Raises:
            InputError: the images have no colours.
        """
        if inputs.shape[1] != self.channels:
            raise InputError(
                f"SplitResNet takes images apart into lightness and colours, and these have {inputs.shape[1]} "
                "channels, not three: take images in colour, such as NotoEmoji or CIFAR10."
            )
        lab = to_lab(inputs)
        pixels = torch.cat([lab[:, :1] / 100, (lab[:, 1:] / FARTHEST + 1) / 2], 1)
        return Embedded(pixels.flatten(2).mT, None, {"size": inputs.shape[2:]})

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Both networks' maps of their last stage as a sequence of positions, row by row, and its mean."""
        self.require_all(places)
        images = embedded.vectors.mT.unflatten(2, embedded.hints["size"])
        parts = (self.lightness(images[:, :1], layers=layers), self.colours(images[:, 1:], layers=layers))
        states = tuple(torch.cat(pair, 2) for pair in zip(parts[0].layers, parts[1].layers, strict=True))
        sequence, pooled = (torch.cat([getattr(part, name) for part in parts], -1) for name in ("sequence", "pooled"))
        return Encoded(sequence, pooled, None, states)
