"""Optimizers and schedules: parameter groups, LARS, and a learning rate as a function of the fraction of a run."""

import math
import operator
import os
from collections.abc import Iterable
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ssl_zoo.errors import InputError

OptimizerName = Literal["adamw", "sgd", "lars"]


def parameter_groups(module: nn.Module, weight_decay: float, steady: Iterable[nn.Module] = ()) -> list[dict[str, Any]]:
    """Trainable parameters in groups: matrices and kernels with weight decay; the others without.

    The others are norms, biases and all that a module inside names in its `no_weight_decay()` (as timm's models do):
    positions and class tokens stand for a place, and codes for a value, which decay would pull to zero. They have
    `adapt` False, which exempts them from LARS's scaling too, as the SimCLR and BYOL papers do.

    Args:
        module: whose parameters are trained.
        weight_decay: of the first group.
        steady: modules inside whose learning rate `warmup_cosine` leaves alone; they get groups of their own.

    Returns:
        Two groups, and two more with `steady` True where there are steady modules; parameters in the module's order.
    """
    exempt, kept = _undecayed(module), {parameter for part in steady for parameter in part.parameters()}
    groups = []
    for is_steady in (False, True) if kept else (False,):
        parameters = [p for p in module.parameters() if p.requires_grad and (p in kept) == is_steady]
        decayed = [p for p in parameters if p.ndim > 1 and p not in exempt]
        free = [p for p in parameters if p.ndim <= 1 or p in exempt]
        groups.append({"params": decayed, "weight_decay": weight_decay, "adapt": True, "steady": is_steady})
        groups.append({"params": free, "weight_decay": 0.0, "adapt": False, "steady": is_steady})
    return groups


def _undecayed(module: nn.Module) -> set[nn.Parameter]:
    """What modules name in `no_weight_decay()`; a name is that of a parameter, or of a part with all of its own."""
    found: set[nn.Parameter] = set()
    for part in module.modules():
        for name in getattr(part, "no_weight_decay", list)():
            named = operator.attrgetter(name)(part)
            found.update([named] if isinstance(named, nn.Parameter) else named.parameters())
    return found


def make_optimizer(
    name: OptimizerName,
    module: nn.Module,
    learning_rate: float,
    weight_decay: float,
    steady: Iterable[nn.Module] = (),
) -> Optimizer:
    """The optimizer called `name`; SGD and LARS have momentum 0.9, AdamW PyTorch's default betas.

    The other arguments are those of `parameter_groups`, and the highest learning rate.
    """
    if not torch.cuda.is_available():
        # Lightning sets this. With it, AdamW searches the machine for NVIDIA's library at every step.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    groups = parameter_groups(module, weight_decay, steady)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, fused=True)
    return LARS(groups, lr=learning_rate)


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg, 2017, arXiv:1708.03888), over SGD with momentum.

    Each tensor's step g + decay * w is scaled by ``trust * |w| / (|g| + decay * |w|)`` (equation 6); tensors in groups
    with `adapt` False take plain SGD steps.

    Args:
        params: parameters or groups; a group may set `weight_decay` and `adapt`.
        lr: learning rate.
        momentum: of the running sum of scaled gradients.
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


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LambdaLR:
    """Linear warm-up from zero, then half a cosine down to zero (Loshchilov and Hutter, 2016, arXiv:1608.03983).

    Args:
        optimizer: whose learning rates are scaled; those of groups with `steady` True stay as they are.
        total_steps: optimizer steps in the whole run.
        warmup: the part of them spent warming up, in [0, 1).
    """
    warmup_steps = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, [_steady if group.get("steady") else factor for group in optimizer.param_groups])


def _steady(step: int) -> float:
    return 1.0


def total_steps(trainer: L.Trainer) -> int:
    """Optimizer steps in the whole run, what every schedule is a fraction of.

    `trainer.estimated_stepping_batches` would set up the loader while the optimizer is being configured, and Lightning
    then forgets where in the epoch a resumed run has to go on.

    Raises:
        InputError: the run has no end to take fractions of.
    """
    limits = []
    if trainer.max_steps >= 0:
        limits.append(trainer.max_steps)
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limits.append(trainer.max_epochs * math.ceil(batches_per_epoch(trainer) / trainer.accumulate_grad_batches))
    if not limits:
        raise InputError("The learning rate is a function of the fraction of the run: set trainer.max_steps.")
    return min(limits)


def batches_per_epoch(trainer: L.Trainer) -> int:
    """Training batches between two epochs' beginnings.

    Raises:
        InputError: the trainer was given bare loaders.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, L.LightningDataModule):
        raise InputError(
            "Schedules ask the data module how long an epoch is: give the Trainer a DataModule of ssl_zoo."
        )
    batches = len(data.train_dataloader())
    if isinstance(trainer.limit_train_batches, int):
        return min(batches, trainer.limit_train_batches)
    return int(batches * trainer.limit_train_batches)
