"""An encoder that stands still while the heads on it are trained."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError


def steps_frozen(part: float, total_steps: int) -> int:
    """Optimizer steps in the first part of a run, at least one short of all of them where there is more than one."""
    return min(round(part * total_steps), max(total_steps - 1, 0))


def stand_still(module: nn.Module, frozen: bool) -> None:
    """Lets the batch norms of every encoder in a module use their running statistics without changing them, or not.

    Teachers that are copies of an encoder stand still with it. Dropout stays as it is: heads are trained on what they
    will see afterwards.

    Args:
        module: a module in training mode.
        frozen: whether they are to stand still, or to work as in training.
    """
    for encoder in encoders_of(module):
        for part in encoder.modules():
            if isinstance(part, _BatchNorm):
                part.train(not frozen)


def encoders_of(module: nn.Module) -> Iterable[Encoder]:
    """Encoders among a module's parts, copies included."""
    return (part for part in module.modules() if isinstance(part, Encoder))


def drop_gradients(encoder: nn.Module) -> None:
    """Forgets the gradients of an encoder, so that no optimizer moves it, its decay and momentum included.

    They are computed all the same: processes that share gradients wait for one of every parameter.
    """
    for parameter in encoder.parameters():
        parameter.grad = None


def trains_more_than(module: nn.Module, encoder: nn.Module) -> bool:
    """Whether a module has trainable parameters besides those of its encoder."""
    own = set(encoder.parameters())
    return any(parameter.requires_grad and parameter not in own for parameter in module.parameters())


def require_heads(module: nn.Module, encoder: nn.Module, part: float) -> None:
    """Raise `InputError` where nothing would be trained while the encoder stands still in the first part of a run."""
    if not trains_more_than(module, encoder):
        raise InputError(
            f"model.optimizer.freeze_encoder is {part}, but {type(module).__name__} has nothing to train but its "
            "encoder: leave it out."
        )
