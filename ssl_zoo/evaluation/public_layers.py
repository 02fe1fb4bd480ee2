"""What the layers of published networks for images give: stages of a convolutional one, blocks of a transformer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

# Where torchvision and timm keep a network's stages or blocks, one after the other.
STAGES = ("layer1", "layer2", "layer3", "layer4")
BLOCKS = ("encoder.layers", "blocks", "stages")


def find_layers(network: nn.Module) -> list[nn.Module]:
    """A network's layers in order, from the first that stands after its stem; empty where they have no known place."""
    if getattr(network, "output_fmt", "NCHW") == "NHWC":  # timm's name for maps whose channels come last
        return []
    parts = dict(network.named_modules())
    if all(name in parts for name in STAGES):
        return [parts[name] for name in STAGES]
    for name in BLOCKS:
        if isinstance(parts.get(name), nn.Sequential | nn.ModuleList):
            return list(parts[name].children())
    return []


def vectors_without_place(network: Any) -> int:
    """How many vectors, such as a class token, stand in front of a network's patches."""
    return int(getattr(network, "num_prefix_tokens", hasattr(network, "class_token")))


@contextmanager
def recorded(layers: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Within, a list of what enters the first layer, and of what each gives, grows as the network runs."""
    found: list[Tensor] = []
    hooks = []
    if layers:
        hooks.append(layers[0].register_forward_pre_hook(lambda module, inputs: found.append(inputs[0])))
    for layer in layers:
        hooks.append(layer.register_forward_hook(lambda module, inputs, output: found.append(output)))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def as_sequences(states: list[Tensor], prefix: int) -> tuple[Tensor, ...]:
    """``(B, N, C)`` vectors of places, of maps ``(B, C, H, W)`` or of sequences with a prefix of so many others.

    Nothing where layers hand on anything else, such as tuples.
    """
    if not all(isinstance(each, Tensor) and each.ndim in (3, 4) for each in states):
        return ()
    return tuple(each.flatten(2).transpose(1, 2) if each.ndim == 4 else each[:, prefix:] for each in states)
