"""An LSTM with a projection that multiplies in the Trainer's precision and keeps its cell in float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ssl_zoo.hardware import autocast_type


class ProjectedLSTM(nn.RNNBase):
    """`torch.nn.LSTM` of one layer and one direction, from a state of zeros, which `torch.compile` traces.

    In mixed precision on a CPU its matrix products are the lower precision's, and its cell, to which every step adds,
    is float32, as is what leaves. PyTorch's own takes longer then than in float32. On GPUs, and in compiled programs,
    all is float32.

    Args:
        dim: size of the vectors that enter, and of the projected ones that leave.
        cells: size of the cell.
    """

    def __init__(self, dim: int, cells: int) -> None:
        super().__init__("LSTM", dim, cells, batch_first=True, proj_size=dim)

    def forward(self, vectors: Tensor) -> Tensor:
        """What leaves after every vector, ``(B, T, dim)`` float32."""
        low, vectors = autocast_type(vectors.device.type), vectors.float()
        weights = cast(list[Tensor], self._flat_weights)
        with torch.autocast(vectors.device.type, enabled=False):
            if low is not None and vectors.device.type == "cpu" and not torch.compiler.is_compiling():
                return in_mixed_precision(vectors, weights, low)
            start = [vectors.new_zeros(1, len(vectors), size) for size in (self.proj_size, self.hidden_size)]
            with without_onednn():
                return torch.lstm(vectors, start, weights, True, 1, 0.0, self.training, False, True)[0]


def in_mixed_precision(vectors: Tensor, weights: list[Tensor], low: torch.dtype) -> Tensor:
    """What an LSTM with a projection gives ``(B, T, D)`` float32, from products of numbers in `low`.

    Args:
        vectors: ``(B, T, D)`` float32, T at least 1.
        weights: matrices for inputs and state, two biases, and the projection's matrix, as `nn.LSTM` has them.
        low: precision of the products.
    """
    to_inputs, to_state, *biases, projection = weights
    return _Steps.apply(vectors.transpose(0, 1), to_inputs, to_state, sum(biases), projection, low).transpose(0, 1)


class _Steps(torch.autograd.Function):
    """All steps, time first, with the gradient written out, so that those of the weights are one product each.

    With the gates i, f, u, o the cell is c_t = f c_(t-1) + i u, and the state h_t = P (o tanh(c_t)).
    """

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, to_inputs: Tensor, to_state: Tensor, bias: Tensor, projection: Tensor, low: Any
    ) -> Tensor:
        (dim, size), (steps, batch, _) = projection.shape, vectors.shape
        vectors, to_inputs, to_state, projection = (each.to(low) for each in (vectors, to_inputs, to_state, projection))
        gates = (vectors @ to_inputs.T).float() + bias  # of all steps; each adds what the state before it says
        cells, squashed = bias.new_zeros(steps + 1, batch, size), bias.new_empty(steps, batch, size)
        states, outputs = vectors.new_zeros(steps + 1, batch, dim), vectors.new_empty(steps, batch, size)
        for step in range(steps):
            gates[step] += states[step] @ to_state.T
            gates[step, :, : 2 * size].sigmoid_()
            gates[step, :, 2 * size : 3 * size].tanh_()
            gates[step, :, 3 * size :].sigmoid_()
            add, keep, new, show = gates[step].split(size, dim=1)
            torch.mul(keep, cells[step], out=cells[step + 1]).addcmul_(add, new)
            torch.tanh(cells[step + 1], out=squashed[step])
            outputs[step] = show * squashed[step]
            torch.mm(outputs[step], projection.T, out=states[step + 1])
        ctx.save_for_backward(vectors, to_inputs, to_state, projection, gates, cells, squashed, states, outputs)
        return states[1:].float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_states: Tensor) -> tuple[Tensor | None, ...]:
        vectors, to_inputs, to_state, projection, gates, cells, squashed, states, outputs = ctx.saved_tensors
        add, keep, new, show = gates.split(cells.shape[2], dim=2)
        # What the gradients of the cell, for three gates, and of the output, for the last, are multiplied by.
        factors = torch.stack([new * add * (1 - add), cells[:-1] * keep * (1 - keep), add * (1 - new.square())], dim=2)
        last, into_cell = squashed * show * (1 - show), show * (1 - squashed.square())
        of_sums = vectors.new_empty(*gates.shape[:2], 4, cells.shape[2])
        of_projected = torch.empty_like(states[1:])
        of_cell, of_state = torch.zeros_like(cells[0]), torch.zeros_like(of_states[0])
        for step in reversed(range(len(gates))):
            of_projected[step] = of_states[step] + of_state
            of_output = (of_projected[step] @ projection).float()
            of_cell.addcmul_(of_output, into_cell[step])
            of_sums[step, :, :3] = of_cell[:, None] * factors[step]
            of_sums[step, :, 3] = of_output * last[step]
            of_cell *= keep[step]
            of_state = (of_sums[step].flatten(1) @ to_state).float()
        sums = of_sums.flatten(0, 1).flatten(1)
        return (
            (sums @ to_inputs).float().view(vectors.shape),
            (sums.T @ vectors.flatten(0, 1)).float(),
            (sums.T @ states[:-1].flatten(0, 1)).float(),
            sums.sum(0, dtype=torch.float32),
            (of_projected.flatten(0, 1).T @ outputs.flatten(0, 1)).float(),
            None,
        )


@contextmanager
def without_onednn() -> Iterator[None]:
    """Within, oneDNN is not asked for LSTMs: it has none with projections, and PyTorch warns of that.

    PyTorch's own `mkldnn.flags` sets other flags as well, and warns of one of them.
    """
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # a property of a module, whose setter has no type
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
