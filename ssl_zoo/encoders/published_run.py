"""The encoder of one of this project's own runs, read from its last checkpoint to continue from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.rebuilding import build, kinds_in

Kind = TypeVar("Kind", bound=Encoder)

# The last checkpoint, and the one before it that stays until the last is whole.
CHECKPOINTS = ("checkpoints/last.ckpt", "checkpoints/last.previous.ckpt")


class _Found(NamedTuple):
    settings: dict[str, Any]
    state: dict[str, Tensor]
    added: Tensor | None


def find_run(source: str) -> Path | None:
    """The folder of a run, or of the newest one in an experiment's folder; None where it is neither."""
    folder = Path(source).expanduser()
    if (folder / "config.json").is_file():  # another library's, whatever else lies there
        return None
    runs = [folder] if (folder / "checkpoints").is_dir() else [path.parent for path in folder.glob("*/checkpoints")]
    return max(runs, default=None)


def encoder_of_run(kind: type[Kind], folder: Path) -> Kind:
    """The encoder that a run evaluates, with its weights; its teacher where the method evaluates that.

    Args:
        kind: the encoder's class.
        folder: folder of the run.

    Raises:
        InputError: the run has no checkpoint that can be read, or another encoder.
    """
    found = _read(folder)
    name = found.settings["class_path"].rpartition(".")[2]
    if name != kind.__name__:
        raise InputError(
            f"pretrained: the run {folder} has trained a {name} and this encoder is a {kind.__name__}; take {name} as "
            "the encoder, or another run."
        )
    return _built(found, folder, lambda: kind(**found.settings["init_args"]))


def any_encoder_of_run(folder: Path) -> tuple[Encoder, Tensor | None]:
    """As `encoder_of_run`, of whatever class it is, and what is added to token vectors in features of the run.

    That is the second vectors of word2vec with `add_outputs`, ``(V, D)``; of others it is None.
    """
    found = _read(folder)
    return _built(found, folder, lambda: build(kinds_in(found.settings))), found.added


def _built(found: _Found, folder: Path, make: Callable[[], Kind]) -> Kind:
    with torch.random.fork_rng():
        try:
            encoder = make()
            encoder.load_state_dict(found.state)
        except (ImportError, AttributeError, RuntimeError, TypeError) as error:  # of another version, or code elsewhere
            reason = str(error).strip().split("\n")[-1].strip()
            raise InputError(
                f"The encoder of the run {folder} cannot be built again ({reason}); take the version of ssl_zoo that "
                "trained it, and export it."
            ) from error
    return encoder


def part_of_run(folder: Path, name: str) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    """The settings and the weights of a part of the encoder that a run evaluates; no settings where it has no such.

    Args:
        folder: folder of the run.
        name: the part, as the encoder's constructor calls it.

    Raises:
        InputError: the run has no checkpoint that can be read.
    """
    found = _read(folder)
    state = {
        weight.removeprefix(f"{name}."): value for weight, value in found.state.items() if weight.startswith(f"{name}.")
    }
    return found.settings["init_args"].get(name), state


def _read(folder: Path) -> _Found:
    error: Exception | None = None
    for path in CHECKPOINTS:
        try:
            content = torch.load(folder / path, map_location="cpu", weights_only=True)
            prefix = content.get("evaluated", "encoder") + "."
            state = {
                name.removeprefix(prefix): value
                for name, value in content["state_dict"].items()
                if name.startswith(prefix)
            }
            settings = content["hyper_parameters"]
            added = content["state_dict"]["outputs"] if settings.get("add_outputs") else None
            return _Found(settings["encoder"], state, added)
        except Exception as found:  # missing, damaged or foreign files fail in many ways
            error = error or found
    raise InputError(
        f"The run {folder} has no {CHECKPOINTS[0]} that can be read ({type(error).__name__}); name another "
        "run, or put the file back."
    ) from error
