"""Optimizers and schedules: their settings, parameter groups, and a learning rate over the part of a run."""

import math
import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import lightning as L
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ssl_zoo.errors import InputError
from ssl_zoo.lars import LARS
from ssl_zoo.schedules import Course, Schedule, along_cosine, factor_of
from ssl_zoo.suggestions import nearest

Name = Literal["adamw", "sgd", "lars", "adagrad"]

# What each optimizer takes besides what all of them take, and its values where none are given.
_OWN: dict[str, dict[str, Any]] = {
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8},
    "sgd": {"momentum": 0.9},
    "lars": {"momentum": 0.9, "trust": 0.001},
    "adagrad": {"eps": 1e-10},
}


@dataclass(frozen=True)
class Optimizer:
    """How weights are updated, and how fast over the run.

    Args:
        name: Update rule: `adamw` (arXiv:1711.05101), `sgd` with momentum, `lars` (arXiv:1708.03888), or `adagrad`
            (Duchi et al., 2011), for tables of which a batch has few rows.
        learning_rate: Highest learning rate of the run, for the global batch.
        weight_decay: Weight decay of matrices and kernels; norms, biases, positions, class tokens and codebooks have
            none.
        final_weight_decay: Weight decay at the end of the run, towards which it moves along half a cosine, as in DINO
            (Caron et al., 2021, arXiv:2104.14294); left out, it stays what it is.
        layer_decay: Factor of the learning rate for each layer down from the top of the encoder (Bao et al., 2021,
            arXiv:2106.08254): heads and the last norm have the whole, the last layer this part of it, the layer below
            its square. 1 trains all layers alike; fine-tuning takes about 0.65 to 0.9.
        warmup: Part of the run over which the learning rate rises linearly from zero, in [0, 1).
        freeze_encoder: Part of the run, in [0, 1), in which heads alone are trained: the encoder's weights stand still,
            and its batch norms normalise by their running statistics and leave them as they are. For an encoder that
            continues from published weights, which random heads would pull at.
        schedule: Learning rate after the warm-up: half a `cosine` down to zero (arXiv:1608.03983), `linear` down to
            zero, `constant`, `wsd` (warm-up, stable, decay; arXiv:2404.06395), which is constant and falls linearly to
            zero in the last fifth, or `inverse_sqrt`, one over the square root of the steps (arXiv:1706.03762).
        betas: Decay rates of AdamW's two running means; left out, 0.9 and 0.999.
        eps: Number that AdamW and Adagrad add to their denominator; left out, 1e-8 and 1e-10.
        momentum: Momentum of SGD and LARS; left out, 0.9.
        trust: Trust coefficient of LARS; left out, SimCLR's 0.001.

    Raises:
        InputError: a number is out of its range, or a setting is given that the optimizer does not take.
    """

    name: Name = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    final_weight_decay: float | None = None
    layer_decay: float = 1.0
    warmup: float = 0.1
    freeze_encoder: float = 0.0
    schedule: Schedule = "cosine"
    betas: tuple[float, float] | None = None
    eps: float | None = None
    momentum: float | None = None
    trust: float | None = None

    def __post_init__(self) -> None:
        """Checks the settings."""
        for setting, choices in {"name": get_args(Name), "schedule": get_args(Schedule)}.items():
            if (given := getattr(self, setting)) not in choices:
                raise InputError(
                    f"optimizer.{setting} is '{given}', but must be one of {', '.join(choices)}"
                    f"{nearest(str(given), choices) or '.'}"
                )
        special = {setting for own in _OWN.values() for setting in own}
        takes = [setting for setting in vars(self) if setting not in special or setting in _OWN[self.name]]
        for setting in sorted(special.difference(takes)):
            if getattr(self, setting) is not None:
                others = " and ".join(name for name, own in _OWN.items() if setting in own)
                raise InputError(
                    f"optimizer: {self.name} takes no {setting}, which is a setting of {others}; it takes "
                    f"{', '.join(takes[1:])}."
                )
        own = self.own
        ranges = {
            "learning_rate": (self.learning_rate >= 0, "at least 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "final_weight_decay": (self.final_weight_decay is None or self.final_weight_decay >= 0, "at least 0"),
            "layer_decay": (0 < self.layer_decay <= 1, "above 0 and at most 1"),
            "warmup": (0 <= self.warmup < 1, "at least 0 and below 1"),
            "freeze_encoder": (0 <= self.freeze_encoder < 1, "at least 0 and below 1"),
            "betas": (all(0 <= beta < 1 for beta in own.get("betas", ())), "two numbers of at least 0 and below 1"),
            "eps": (own.get("eps", 0) >= 0, "at least 0"),
            "momentum": (0 <= own.get("momentum", 0) < 1, "at least 0 and below 1"),
            "trust": (own.get("trust", 1) > 0, "above 0"),
        }
        for setting, (fits, range_) in ranges.items():
            if not fits:
                raise InputError(f"optimizer.{setting} is {getattr(self, setting)}; it must be {range_}.")

    @property
    def own(self) -> dict[str, Any]:
        """Settings that only some optimizers take: those of this one, with its defaults where none are given."""
        given = {setting: getattr(self, setting) for setting in _OWN[self.name]}
        return {setting: _OWN[self.name][setting] if value is None else value for setting, value in given.items()}


def parameter_groups(module: nn.Module, settings: Optimizer, steady: Iterable[nn.Module] = ()) -> list[dict[str, Any]]:
    """Trainable parameters in groups: matrices and kernels with weight decay; the others without.

    The others are norms, biases and all that a module inside names in its `no_weight_decay()` (as timm's models do):
    positions and class tokens stand for a place, and codes for a value, which decay would pull to zero. They have
    `adapt` False, which exempts them from LARS's scaling too, as the SimCLR and BYOL papers do.

    Args:
        module: Network that is trained; where layers are trained at rates of their own, its `encoder` says which
            parameters are in which layer.
        settings: Weight decay, learning rate, and what becomes of it from layer to layer.
        steady: Modules inside whose learning rate `scheduled` leaves alone; they get groups of their own.

    Returns:
        Groups with the highest learning rate first and those of steady modules last, in each the parameters in the
        module's order.

    Raises:
        InputError: layers are to be trained at rates of their own, and the encoder cannot say what its layers are.
    """
    exempt, kept = _undecayed(module), {parameter for part in steady for parameter in part.parameters()}
    depths: dict[nn.Parameter, int] = {}
    if settings.layer_decay != 1:
        assert isinstance(module.encoder, nn.Module)
        depths = depths_from_top(module.encoder)
    members: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            free = parameter.ndim <= 1 or parameter in exempt
            members.setdefault((parameter in kept, depths.get(parameter, 0), free), []).append(parameter)
    return [
        {
            "params": members[is_steady, depth, free],
            "lr": settings.learning_rate * settings.layer_decay**depth,
            "weight_decay": 0.0 if free else settings.weight_decay,
            "adapt": not free,
            "steady": is_steady,
        }
        for is_steady, depth, free in sorted(members)
    ]


def depths_from_top(encoder: nn.Module) -> dict[nn.Parameter, int]:
    """How many layers down from the top an encoder's parameters are: 1 in the last layer; 0 is left out.

    Args:
        encoder: Network that says what its layers are in `parameter_layers()`, as encoders of this package do.

    Raises:
        InputError: the encoder does not say what its layers are.
    """
    layers: list[list[str]] = getattr(encoder, "parameter_layers", list)()
    if not layers:
        raise InputError(
            f"optimizer.layer_decay needs an encoder that names its layers, which {type(encoder).__name__} does not: "
            "set it to 1, or write the encoder's parameter_layers()."
        )
    return {
        parameter: len(layers) - number
        for number, names in enumerate(layers)
        for name in names
        for parameter in _named(encoder, name)
    }


def _undecayed(module: nn.Module) -> set[nn.Parameter]:
    """What modules name in `no_weight_decay()`."""
    return {
        parameter
        for part in module.modules()
        for name in getattr(part, "no_weight_decay", list)()
        for parameter in _named(part, name)
    }


def _named(module: nn.Module, name: str) -> Iterator[nn.Parameter]:
    """The parameter of a name, or all those of the part of that name."""
    found = operator.attrgetter(name)(module)
    return iter([found]) if isinstance(found, nn.Parameter) else found.parameters()


def make_optimizer(
    settings: Optimizer, module: nn.Module, steady: Iterable[nn.Module] = (), late: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of `settings`, with the groups of `parameter_groups`; further arguments and errors as there.

    Args:
        settings: Update rule, and what the groups are made by.
        module: Network that is trained.
        steady: Modules inside whose learning rate stays as it is.
        late: Whether some of it is trained later than the rest, besides an encoder that the settings freeze.
    """
    if not torch.cuda.is_available():
        # Lightning sets this. With it, AdamW searches the machine for NVIDIA's library at every step.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    groups, rate = parameter_groups(module, settings, steady), settings.learning_rate
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=True, **settings.own)
    if settings.name == "sgd":
        # The fused one wants all parameters of a group to have a momentum, or none: of a trunk it comes later.
        late = late or settings.freeze_encoder > 0
        return torch.optim.SGD(groups, lr=rate, fused=not late, **settings.own)
    if settings.name == "adagrad":  # CUDA has no fused one
        return torch.optim.Adagrad(groups, lr=rate, fused=groups[0]["params"][0].device.type == "cpu", **settings.own)
    return LARS(groups, lr=rate, **settings.own)


def advice_on_divergence(settings: Optimizer) -> str:
    """A sentence on what to change where weights have become no finite numbers.

    Args:
        settings: Settings of the optimizer that has updated them.
    """
    if settings.eps is not None and settings.eps < torch.finfo(torch.float32).tiny:
        return (
            f"model.optimizer.eps is {settings.eps:g}, so that a weight whose gradient is 0 is divided by 0: leave it "
            "out, or make it 1.0e-8."
        )
    return "Lower model.optimizer.learning_rate, raise model.optimizer.warmup or set trainer.gradient_clip_val."


def scheduled(optimizer: torch.optim.Optimizer, settings: Optimizer, total_steps: int) -> LambdaLR:
    """Linear warm-up from zero, then the schedule of the settings; and weight decay along its own.

    Args:
        optimizer: Optimizer whose learning rates are scaled; those of groups with `steady` True stay as they are.
        settings: Schedule, the part of the run spent warming up, and weight decay at the start and at the end.
        total_steps: Optimizer steps in the whole run.
    """
    factor = factor_of(settings.schedule, settings.warmup, total_steps)
    factors = [_steady if group.get("steady") else factor for group in optimizer.param_groups]
    start, end = settings.weight_decay, settings.final_weight_decay
    if end is None:
        return Course(optimizer, factors)
    return Course(optimizer, factors, lambda step: along_cosine(start, end, min(1.0, step / max(1, total_steps))))


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
