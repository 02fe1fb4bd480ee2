"""Weights that an encoder continues from: put in exactly, with the settings that they were trained for."""

import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.normalize import FROM_DATA, Measured, Number, take_measured
from ssl_zoo.encoders.published_run import find_run
from ssl_zoo.errors import InputError
from ssl_zoo.rebuilding import Rebuildable

# What an encoder's `pretrained` may be: a name, folder or file, or what `remember` makes of it.
Pretrained = str | dict[str, Any]

# Settings of encoders that name such, each with all that a checkpoint needs to know of them once they are in.
CONTINUING = ("pretrained", "token_vectors")

# Beside the network in many files: classifiers, and what only their pretraining needed.
HEADS = ("head.", "heads.", "fc.", "classifier.", "decoder", "mask_token", "pooler.", "embeddings.mask_token")

# Of the transformers library's ViTs.
PATCHES = "embeddings.patch_embeddings.projection"
POSITIONS = "embeddings.position_embeddings"


def remember(encoder: Rebuildable, network: nn.Module, architecture: dict[str, Any], name: str = "pretrained") -> None:
    """Keeps among an encoder's settings what its network is made of, so that a checkpoint needs no published file.

    Args:
        encoder: whose setting becomes `source`, `architecture` and `fingerprint`.
        network: the network with the published weights.
        architecture: plain values from which the encoder builds the network with other weights.
        name: the setting, one of `CONTINUING`.
    """
    settings = encoder.settings["init_args"]
    source = settings[name]
    if isinstance(source, str):
        source = str(find_run(source) or source)  # not whichever run will be the newest one then
        settings[name] = {"source": source, "architecture": architecture, "fingerprint": fingerprint(network)}


def write_down(kept: dict[str, Any], settings: dict[str, Any]) -> None:
    """Puts what `remember` has made of settings into other settings of the same, its parts' included.

    Args:
        kept: `class_path` and `init_args`, as the command line has them, with no more than the source's name.
        settings: settings of the object that was built from them.
    """
    arguments = kept.get("init_args", {})
    for name, value in settings.get("init_args", {}).items():
        if name in CONTINUING and isinstance(value, dict):
            arguments[name] = value
        elif isinstance(value, dict) and isinstance(arguments.get(name), dict):
            write_down(arguments[name], value)


@contextmanager
def remembered(given: Any, kept: dict[str, Any]) -> Iterator[None]:
    """Within, settings of an encoder name no weights that its checkpoint has, so that nothing is read of them.

    Args:
        given: a `Namespace` of settings as config.yaml has them, which they are again afterwards.
        kept: the checkpoint's, with what `remember` made of them.
    """
    names = [name for name in CONTINUING if isinstance(kept.get(name), dict) and isinstance(given.get(name), str)]
    replaced = {name: given[name] for name in names}
    for name in names:
        given[name] = kept[name]
    try:
        yield
    finally:
        for name, value in replaced.items():
            given[name] = value


def source_of(pretrained: Pretrained | None) -> str | None:
    """The name, folder or file that weights came from; None where there are none."""
    return pretrained["source"] if isinstance(pretrained, dict) else pretrained


def refuse_unknown(source: str, names: list[str], kind: str) -> None:
    """Raise `InputError` naming the first weight that no part of the network takes; heads are none of them."""
    unknown = sorted(name for name in names if not name.startswith(HEADS))
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InputError(
            f"pretrained: {source} has {unknown[0]}{more}, which this {kind} has no place for; choose another."
        )


def load_exactly(network: nn.Module, state: dict[str, Tensor], source: str, kind: str) -> None:
    """Puts weights into a network, all of them and no others.

    Args:
        network: gets them.
        state: weights by the network's own names.
        source: where they come from, for messages.
        kind: what the network is, for messages.

    Raises:
        InputError: one is missing, has no place, or has another shape.
    """
    own = network.state_dict()
    refuse_unknown(source, [name for name in state if name not in own], kind)
    for name, value in own.items():
        if name not in state and name.endswith("num_batches_tracked"):  # older files lack it, and nothing needs it
            state = state | {name: value}
        if name not in state:
            raise InputError(f"pretrained: {source} has no weights for {name}; get the file anew.")
        if state[name].shape != value.shape:
            raise wrong_shape(source, name, state[name].shape, value.shape, kind)
    network.load_state_dict(state)


def wrong_shape(source: str, name: str, found: Iterable[int], wanted: Iterable[int], kind: str) -> InputError:
    """The error of a weight that does not fit a network of this kind."""
    shapes = ["x".join(map(str, shape)) or "a number" for shape in (found, wanted)]
    return InputError(
        f"pretrained: {source} has {name} of {shapes[0]}, but a {kind} of its sizes has {shapes[1]}; choose another."
    )


def refuse_contradictions(kind: str, source: str, settings: dict[str, tuple[Any, Any]]) -> None:
    """Raise `InputError` where a setting that was given is not the published network's.

    Args:
        kind: the encoder's name.
        source: where the weights come from.
        settings: what was given (None where nothing was) and what the network has, by the setting's name.
    """
    for name, (given, published) in settings.items():
        if given is not None and given != published:
            raise InputError(
                f"{kind}: {name} is {given}, but the weights of {source} are for {name} {published}; leave {name} out, "
                "or choose other weights."
            )


def require_same(source: str, published: Tensor, ours: Tensor) -> None:
    """Raise `InputError` unless two networks with the same weights give the same vectors.

    Names and shapes do not show everything, such as another activation or another place of a norm.
    """
    error = float((published - ours).norm() / published.norm().clamp_min(1e-12))
    if not error < 1e-4:
        raise InputError(
            f"pretrained: {source} has this encoder's weights but computes something else with them (its vectors "
            f"differ by {error:.1%}); choose another."
        )


def normalization(
    kind: str,
    mean: Number | None,
    std: Number | None,
    statistics: Measured | None,
    expected: tuple[float | list[float] | None, float | list[float] | None] = (None, None),
    source: str = "",
) -> tuple[float | list[float], float | list[float]]:
    """Mean and standard deviation for images of an encoder, whether it continues from weights or not.

    Args:
        kind: the encoder's name.
        mean: mean as given, `data` for that of `statistics`; None where it was left out.
        std: standard deviation as given, likewise.
        statistics: statistics of the data, where it measures them.
        expected: what the weights were trained with, each None where that is unknown.
        source: where the weights come from; empty where they were read before, and nothing is to be said again.

    Raises:
        InputError: `mean` or `std` is `data` without `statistics`.
    """
    given = take_measured(kind, mean, std, statistics)
    names = "mean and std" if statistics is None or FROM_DATA in (mean, std) else "data.measure_statistics"
    chosen = tuple(one if one is not None else other for one, other in zip(given, expected, strict=True))
    if source and None in chosen:
        warnings.warn(
            f"{kind}: {source} does not say by which mean and std its images were normalised, so they are 0.5 and 0.25 "
            "where you set none: set the encoder's mean and std (of ImageNet: [0.485, 0.456, 0.406] and [0.229, 0.224, "
            "0.225]).",
            stacklevel=3,
        )
    if source and any(
        one is not None and other is not None and not _alike(one, other)
        for one, other in zip(given, expected, strict=True)
    ):
        warnings.warn(
            f"{kind}: the weights of {source} expect images normalised by mean {_short(expected[0])} and std "
            f"{_short(expected[1])}, but these are by {_short(chosen[0])} and {_short(chosen[1])}: leave {names} out "
            "unless you mean it.",
            stacklevel=3,
        )
    return (0.5 if chosen[0] is None else chosen[0], 0.25 if chosen[1] is None else chosen[1])


def fingerprint(network: nn.Module) -> int:
    """A number that weights have in common with hardly any others."""
    found = 0
    for _, value in sorted(network.state_dict().items()):
        found = zlib.crc32(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), found)
    return found


def _alike(one: float | list[float], other: float | list[float]) -> bool:
    numbers = [torch.tensor(each).flatten() for each in (one, other)]
    return (1 in map(len, numbers) or len(numbers[0]) == len(numbers[1])) and torch.allclose(
        numbers[0], numbers[1], atol=1e-3
    )


def _short(numbers: float | list[float] | None) -> str:
    if isinstance(numbers, list):
        return f"[{', '.join(f'{number:g}' for number in numbers)}]"
    return f"{0.5 if numbers is None else numbers:g}"
