"""A ResNet that sees speech as a picture: its log-mel spectrogram."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.audio_base import mean_over_time
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.encoders.log_mel import log_mel, window_and_hop


class AudioResNet(Encoder):
    """Residual network (He et al., 2015, arXiv:1512.03385) on log-mel spectrograms, as images of one channel.

    The network is that of `ssl_zoo.encoders.image.ResNet` with its small stem. A vector stands for 80 ms and is the
    mean over frequency; pooled is the mean over real vectors. Padding is silenced before every convolution, and in
    training batch norm takes its statistics from what is real, which costs time: train on crops of equal length.

    Args:
        depth: 10, 18 or 34.
        width: channels of the first stage; later stages have 2, 4 and 8 times as many.
        mels: frequency bands.
        sample_rate: samples per second; comes from the data.

    Attributes:
        network: the ResNet.
        offset: the sample at the centre of vector 0; vector n's is at ``offset + n * stride``.
    """

    modality = "audio"
    num_layers = 1
    causal = False

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

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The last stage's feature map ``(B, N, dim)``, frequencies averaged, and which of its steps are real."""
        spectra, real = log_mel(inputs, mask, self.sample_rate, self.mels)
        network: Any = self.network
        maps = _silence(spectra.transpose(1, 2)[:, None], real).contiguous(memory_format=torch.channels_last)
        maps = _silence(torch.relu(_normalize(network.bn1, network.conv1(maps), real)), real)
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            for block in stage:
                maps, real = _residual(block, maps, real)
        return maps.mean(2).transpose(1, 2), real

    def contextualize(self, vectors: Tensor, mask: Tensor | None = None, *, layers: bool = False) -> Encoded:
        """The mean over real steps; a convolutional network has seen the context already."""
        return Encoded(vectors, mean_over_time(vectors, mask), mask, (vectors,) if layers else ())


def _residual(block: Any, maps: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Torchvision's `BasicBlock` on maps ``(B, C, mels, N)`` whose padding is zero, and stays it."""
    after = None if real is None else real[:, :: block.stride]
    branch = torch.relu(_normalize(block.bn1, block.conv1(maps), after))
    branch = _normalize(block.bn2, block.conv2(_silence(branch, after)), after)
    if block.downsample is not None:
        convolution, norm = block.downsample
        # On a CPU, the backward pass of a 1x1 convolution of stride 2 writes out of bounds below 16 channels (oneDNN's
        # mistake); one of stride 1 on every second position is the same.
        every_second = maps[:, :, :: block.stride, :: block.stride].contiguous(memory_format=torch.channels_last)
        maps = _normalize(norm, F.conv2d(every_second, convolution.weight), after)
    return _silence(torch.relu(branch + maps), after), after


def _silence(maps: Tensor, real: Tensor | None) -> Tensor:
    return maps if real is None else maps * real[:, None, None, :]


def _normalize(norm: nn.Module, maps: Tensor, real: Tensor | None) -> Tensor:
    """Batch norm, with statistics of the real steps only."""
    if real is None or not norm.training:
        return norm(maps)
    steps = maps.permute(0, 3, 1, 2)
    normalized = torch.zeros_like(steps)
    normalized[real] = norm(steps[real][..., None])[..., 0]
    return normalized.permute(0, 2, 3, 1)
