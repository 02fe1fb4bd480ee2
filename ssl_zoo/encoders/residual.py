"""Stages of a residual network, of torchvision's blocks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Shortcut(nn.Conv2d):
    """A 1x1 convolution, of any stride.

    On CPUs with fewer than 16 channels it is one of stride 1 on every second position, which is the same: oneDNN's
    backward pass of the strided one writes out of bounds there.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``, rounded up."""
        if maps.device.type != "cpu" or self.in_channels >= 16:
            return super().forward(maps)
        rows, columns = self.stride
        kept = maps[:, :, ::rows, ::columns].contiguous(memory_format=torch.channels_last)
        return nn.functional.conv2d(kept, self.weight, self.bias)


class Strided(nn.Conv2d):
    """A convolution of any stride, padded so that a map of one column keeps it.

    Training on a CPU, the stride along such a map is 1, which is the same: in bfloat16 oneDNN leaves the gradient of
    the weights that no column reaches as it finds the memory, and what stands there can be no number.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``, rounded up."""
        if maps.device.type != "cpu" or not torch.is_grad_enabled() or maps.shape[3] > 1:
            return super().forward(maps)
        return nn.functional.conv2d(maps, self.weight, self.bias, (self.stride[0], 1), self.padding)


def layer_norm(channels: int) -> nn.GroupNorm:
    """Layer norm of a map ``(B, C, H, W)``, over all of one example's numbers, with a scale and a shift per channel."""
    return nn.GroupNorm(1, channels)


def residual_stage(
    block: Any,
    entering: int,
    planes: int,
    blocks: int,
    stride: int,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    """One stage of residual blocks; the first changes resolution and width, by a projection where they differ.

    Args:
        block: torchvision's `BasicBlock` or `Bottleneck`.
        entering: channels of the maps that come in.
        planes: channels inside the blocks; those that leave are `block.expansion` times as many.
        blocks: number of blocks.
        stride: stride of the first block.
        norm: makes the norms, of so many channels; batch norm is torchvision's.
    """
    leaving = planes * block.expansion
    downsample = None
    if stride != 1 or entering != leaving:
        downsample = nn.Sequential(Shortcut(entering, leaving, 1, stride, bias=False), norm(leaving))
    first = block(entering, planes, stride, downsample, norm_layer=norm)
    for name, layer in list(first.named_children()):
        if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1):
            strided = nn.utils.skip_init(  # the weights are drawn already
                Strided,
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                layer.stride,
                layer.padding,
                bias=False,
            )
            strided.weight = layer.weight
            setattr(first, name, strided)
    return nn.Sequential(first, *(block(leaving, planes, norm_layer=norm) for _ in range(blocks - 1)))
