"""Strided convolution over time as matrix products: what makes a waveform front end train fast without a GPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssl_zoo.hardware import autocast_type


def convolve(sequence: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Convolution over time of channels-last sequences, without padding.

    A stock convolution on a CPU spends most of a training step in its backward pass and on changes of memory layout.
    Here, `stride` neighbouring vectors are read as one long row, which needs no copy, and a kernel is a sum of few
    matrix products of such rows with parts of its weights; so are its gradients. Rows run through the batch as through
    one sequence, so the last outputs of an example may look into the next one: they are the caller's to drop.

    Args:
        sequence: ``(B, L, C)``, contiguous; L is a multiple of `stride`.
        weight: ``(D, C, K)``, as in `torch.nn.Conv1d`.
        bias: ``(D,)`` or None.
        stride: stride of the convolution, at least 1.

    Returns:
        ``(B, L / stride, D)``, in autocast's type where autocast is on. Outputs whose K inputs do not all lie in their
        example mean nothing: all but the first ``(L - K) // stride + 1``.
    """
    low = autocast_type(sequence.device.type)
    if low is not None:
        sequence, weight = sequence.to(low), weight.to(low)
        bias = None if bias is None else bias.to(low)
    return _Convolution.apply(sequence, weight, bias, stride)


class _Convolution(torch.autograd.Function):
    """Output row n is the sum over i of input row n + i times block i of the weights; a row is `stride` vectors."""

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        batch, length, channels = sequence.shape
        rows = sequence.reshape(-1, stride * channels)
        blocks = _blocks(weight, stride)
        if bias is None:
            output = rows[:, : len(blocks[0])] @ blocks[0]
        else:
            output = torch.addmm(bias, rows[:, : len(blocks[0])], blocks[0])
        for i, block in enumerate(blocks[1:], start=1):
            output[:-i].addmm_(rows[i:, : len(block)], block)
        ctx.save_for_backward(sequence, weight)
        ctx.stride, ctx.has_bias = stride, bias is not None
        return output.view(batch, length // stride, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        sequence, weight = ctx.saved_tensors
        rows = sequence.reshape(-1, ctx.stride * sequence.shape[2])
        gradient = gradient.reshape(-1, gradient.shape[2])
        blocks = _blocks(weight, ctx.stride)
        to_blocks = [rows[i:, : len(block)].t() @ gradient[: len(gradient) - i] for i, block in enumerate(blocks)]
        to_weight = torch.cat(to_blocks).view(weight.shape[2], weight.shape[1], weight.shape[0]).permute(2, 1, 0)
        to_bias = gradient.sum(0) if ctx.has_bias else None
        if not ctx.needs_input_grad[0]:
            return None, to_weight, to_bias, None
        width = len(blocks[0])
        to_rows = torch.zeros_like(rows) if width < rows.shape[1] else torch.empty_like(rows)
        torch.mm(gradient, blocks[0].t(), out=to_rows[:, :width])
        for i, block in enumerate(blocks[1:], start=1):
            to_rows[i:, : len(block)].addmm_(gradient[:-i], block.t())
        return to_rows.view_as(sequence), to_weight, to_bias, None


def _blocks(weight: Tensor, stride: int) -> list[Tensor]:
    """The weights ``(D, C, K)`` as matrices ``(up to stride * C, D)``, one for each row that a kernel touches."""
    flat = weight.permute(2, 1, 0).reshape(-1, weight.shape[0])
    return list(flat.split(stride * weight.shape[1]))
