"""LARS: SGD whose step is scaled to every weight's own size."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg, 2017, arXiv:1708.03888), over SGD with momentum.

    Each tensor's step g + decay * w is scaled by ``trust * |w| / (|g| + decay * |w|)`` (equation 6); tensors in groups
    with `adapt` False take plain SGD steps.

    Args:
        params: parameters or groups; a group may set `weight_decay` and `adapt`.
        lr: learning rate.
        momentum: momentum of the running sum of scaled gradients.
        trust: the paper's coefficient; 0.001 is SimCLR's.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0, trust: float = 0.001
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            buffers = [self._momentum(p) for p in weights]
            # All in place: a copy of the gradients alone would be as large as the network.
            torch._foreach_mul_(buffers, group["momentum"])
            if group["adapt"]:
                ratios = _trust_ratios(weights, gradients, group["trust"], group["weight_decay"])
                torch._foreach_addcmul_(buffers, gradients, list(ratios.unbind()))
                torch._foreach_addcmul_(buffers, weights, list((ratios * group["weight_decay"]).unbind()))
            else:
                torch._foreach_add_(buffers, gradients)
                torch._foreach_add_(buffers, weights, alpha=group["weight_decay"])
            torch._foreach_add_(weights, buffers, alpha=-group["lr"])
        return loss

    def _momentum(self, parameter: Tensor) -> Tensor:
        """The running sum of a parameter's scaled gradients."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def _trust_ratios(weights: list[Tensor], gradients: list[Tensor], trust: float, weight_decay: float) -> Tensor:
    """The paper's equation 6, ``(number of tensors,)``; 1 where the weight or its gradient is zero."""
    of_weights, of_gradients = torch.stack(torch._foreach_norm(weights)), torch.stack(torch._foreach_norm(gradients))
    ratios = trust * of_weights / (of_gradients + weight_decay * of_weights)
    return torch.where((of_weights > 0) & (of_gradients > 0), ratios, 1.0)
