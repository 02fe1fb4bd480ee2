"""A ResNet that sees speech as a picture: its log-mel spectrogram."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder, mean_over_places
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.encoders.log_mel import log_mel, window_and_hop


class AudioResNet(Encoder):
    """Residual network (He et al., 2015, arXiv:1512.03385) on log-mel spectrograms, as images of one channel.

    The network is that of `ssl_zoo.encoders.image.ResNet` with its small stem. A vector stands for 80 ms and is the
    mean over frequency; pooled is the mean over real vectors. Padding is silenced before every convolution, and in
    training batch norm takes its statistics from what is real, which costs time: train on crops of equal length.

    Args:
        depth: number of layers of the network: 10, 18 or 34.
        width: channels of the first stage; later stages have 2, 4 and 8 times as many.
        mels: number of frequency bands of the spectrogram.
        sample_rate: samples per second; comes from the data.

    Attributes:
        network: the ResNet.
        offset: the sample at the centre of vector 0; vector n's is at ``offset + n * stride``.
    """

    modality = "audio"
    num_layers = 5

    def __init__(
        self, depth: Literal[10, 18, 34] = 18, width: int = 16, mels: int = 80, sample_rate: int = 16000
    ) -> None:
        super().__init__()
        self.network = ResNet(depth, width, "small", channels=1, mean=0.0, std=1.0)
        self.mels, self.sample_rate = mels, sample_rate
        self.dim = self.network.dim
        window, hop = window_and_hop(sample_rate)
        # A convolution of stride 2, padded, is centred on every second position from the first on.
        self.offset, self.stride = window // 2, self.network.stride * hop

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"depth": 10, "width": 8}

    def parameter_layers(self) -> list[list[str]]:
        """Those of the ResNet."""
        return [[f"network.{name}" for name in names] for names in self.network.parameter_layers()]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The spectrogram's frames ``(B, N', mels)``, eight for each vector that leaves, and which of them are real."""
        return Embedded(*log_mel(inputs, mask, self.sample_rate, self.mels))

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """The last stage's feature map ``(B, N, dim)``, averaged over frequencies, and its mean over real steps.

        `layers` holds what the stem and the four stages give, each averaged over the time that a vector stands for.
        """
        self.require_all(places)
        spectra, mask = embedded.vectors, embedded.mask
        counts = None if mask is None else mask.sum(1)
        network: Any = self.network
        maps = _silence(spectra.transpose(1, 2)[:, None], mask).contiguous(memory_format=torch.channels_last)
        maps = _silence(torch.relu(_normalize(network.bn1, network.conv1(maps), mask)), mask)
        states, steps = [_averaged(maps, counts, 8)] if layers else [], (8, 4, 2, 1)
        for stage, step in zip((network.layer1, network.layer2, network.layer3, network.layer4), steps, strict=True):
            for block in stage:
                maps, counts = _residual(block, maps, counts)
            if layers:
                states.append(_averaged(maps, counts, step))
        vectors, real = maps.mean(2).transpose(1, 2), _real(maps, counts)
        return Encoded(vectors, mean_over_places(vectors, real), real, tuple(states))


def _residual(block: Any, maps: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Torchvision's `BasicBlock` on maps ``(B, C, mels, N)`` whose padding is zero, and stays it.

    Args:
        block: a `BasicBlock`, with the stride of its first convolution.
        maps: ``(B, C, mels, N)``, zero where padded.
        counts: ``(B,)`` how many of the N steps are real, or None.
    """
    after = None if counts is None else (counts - 1) // block.stride + 1
    branch = block.conv1(maps)
    real = _real(branch, after)
    branch = _silence(torch.relu(_normalize(block.bn1, branch, real)), real)
    branch = _normalize(block.bn2, block.conv2(branch), real)
    if block.downsample is not None:
        convolution, norm = block.downsample
        maps = _normalize(norm, convolution(maps), real)
    return _silence(torch.relu(branch + maps), real), after


def _averaged(maps: Tensor, counts: Tensor | None, step: int) -> Tensor:
    """The mean over all frequencies and over the real ones of each `step` steps: ``(B, ceil(N / step), C)``.

    Args:
        maps: ``(B, C, mels, N)``, zero in padding.
        counts: ``(B,)`` how many of the N steps are real, or None.
        step: how many steps become one.
    """

    def average(sequences: Tensor) -> Tensor:
        return F.avg_pool1d(sequences, step, ceil_mode=True)

    means, real = average(maps.mean(2)), _real(maps, counts)
    if real is not None:
        means = means / average(real[:, None].to(means.dtype)).clamp(min=1 / step)
    return means.transpose(1, 2)


def _real(maps: Tensor, counts: Tensor | None) -> Tensor | None:
    """Which steps are real, ``(B, N)`` bool, of maps ``(B, C, mels, N)``."""
    return None if counts is None else torch.arange(maps.shape[3], device=maps.device) < counts[:, None]


def _silence(maps: Tensor, real: Tensor | None) -> Tensor:
    return maps if real is None else maps * real[:, None, None]


def _normalize(norm: nn.Module, maps: Tensor, real: Tensor | None) -> Tensor:
    """Batch norm, with statistics of the real steps only."""
    if real is None or not norm.training:
        return norm(maps)
    steps = maps.permute(0, 3, 1, 2)
    normalized = torch.zeros_like(steps)
    normalized[real] = norm(steps[real][..., None])[..., 0]
    return normalized.permute(0, 2, 3, 1)
