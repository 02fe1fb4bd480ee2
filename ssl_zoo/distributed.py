"""What the ranks of a run share, so that N processes compute what one would on the whole batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


def world_size() -> int:
    """Processes in the run; 1 outside a distributed run, and within `alone`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() and not _ALONE.get() else 1


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process computes as if there were no others, and waits for none of them."""
    before = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(before)


def leave_group() -> None:
    """Ends the distributed part of a run: from here on every process is alone, and free to end.

    All processes must call it, as a collective that one of them still expects would never come about.
    """
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; 0 outside a distributed run."""
    return dist.get_rank() if world_size() > 1 else 0


def all_gather(local: Tensor) -> Tensor:
    """Every rank's tensor, joined along the first dimension in rank order, with gradient.

    The gradient that reaches a rank is the sum over all ranks of what they did with its tensor; a gather that keeps
    only the local part loses the rest and scales the gradient by 1 / world size.

    Args:
        local: ``(B, ...)``, of the same shape on every rank.

    Returns:
        ``(B * world size, ...)``.
    """
    if world_size() == 1:
        return local
    from torch.distributed.nn.functional import all_gather as gather

    return torch.cat(gather(local.contiguous()))


def gather_examples(index: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """What every rank knows of its examples, each example once.

    Where the ranks cannot share the last batch evenly, its last example is on several of them.

    Args:
        index: ``(B,)`` int64, which examples this rank has; as many on every rank.
        columns: ``(B, ...)`` each.

    Returns:
        The columns ``(N, ...)`` of all ranks, in ascending order of the examples; in a run of one process as they are.
    """
    if world_size() == 1:
        return columns
    everywhere = all_gather(index)
    order = everywhere.argsort(stable=True)
    repeated = everywhere[order].diff(prepend=everywhere.new_full((1,), -1)) == 0
    return tuple(all_gather(column)[order[~repeated]] for column in columns)


class CPUSyncBatchNorm(LayerSync):
    """Lightning plugin: batch-norm statistics of the global batch, on CPUs.

    Lightning's `sync_batchnorm` does this on GPUs with PyTorch's layer, which refuses CPUs. Converts the layers when a
    run has several processes and puts them back afterwards; it does nothing in a run of one.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """`model`, its batch-norm layers made global in place."""
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                local = type(module)
                module.__class__ = _GlobalBatchNorm
                module.local_class = local  # type: ignore[assignment]  # it is a _GlobalBatchNorm now
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """`model`, its batch-norm layers made local again in place."""
        for module in model.modules():
            if isinstance(module, _GlobalBatchNorm):
                module.__class__ = module.local_class  # type: ignore[assignment]  # mypy knows classes only as fixed; `apply` has changed it before
        return model


class _GlobalBatchNorm(_BatchNorm):
    """Batch norm whose statistics come from all ranks by differentiable all-reduces."""

    local_class: type[_BatchNorm]

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions, the second being the channels."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        from torch.distributed.nn.functional import all_reduce

        channels = (1, -1, *(1 for _ in input.shape[2:]))
        others = [axis for axis in range(input.dim()) if axis != 1]
        examples = input.float()
        local_count = torch.full((1,), float(input.numel() // input.shape[1]))
        sums = all_reduce(torch.cat([examples.sum(others), local_count]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = examples - mean.view(channels)
        variance = all_reduce(centred.square().sum(others)) / count
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
        normalised = centred * torch.rsqrt(variance + self.eps).view(channels)
        if self.affine:
            normalised = normalised * self.weight.view(channels) + self.bias.view(channels)
        return normalised.to(input.dtype)
