"""Objects that know what they were built with, so that a checkpoint holds plain settings and builds them again.

The command line hands Lightning the settings of a run. Whoever builds a method in Python hands it objects, and a
checkpoint of those could be read only by unpickling code.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from ssl_zoo.errors import InputError

# Among the settings in a checkpoint: names of the arguments that are not.
LEFT_OUT = "_left_out"

_PLAIN = (bool, int, float, str, type(None))


class Rebuildable:
    """Keeps the arguments of its construction, defaults included, as `settings`.

    Attributes:
        settings: `class_path` and `init_args`, the way YAML has them.
    """

    settings: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Takes the arguments down before anything is made of them.

        Raises:
            InputError: a rate of dropout is none.
        """
        built, settings = super().__new__(cls), _taken_down(cls, args, kwargs)
        _require_rates(cls.__name__, settings.get("init_args", {}))
        # Not by assignment, which a module that is not initialised yet refuses.
        object.__setattr__(built, "settings", settings)
        return built

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Constructor arguments of the smallest one that still has every part, which tests build it with.

        Sizes that the data gives (`channels`, `image_size`, `sample_rate`, `vocabulary`) are not among them. What has
        no such method of its own is tested as it comes.
        """
        return {}


def require_kind(owner: str, name: str, value: Any, kind: type) -> None:
    """Refuses what only YAML and the command line may give: the name of a class in place of an object.

    Args:
        owner: class that was given it, for the message.
        name: argument that it was given as.
        value: what was given; None is for the class to replace.
        kind: what it must be an object of.

    Raises:
        InputError: it is none.
    """
    if value is None or isinstance(value, kind):
        return
    wanted = value if isinstance(value, str) else getattr(value, "__name__", None)
    package = kind.__module__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
    found = next((each for each in _below(kind) if each.__name__ == wanted), None)
    example = f"an object of your own {kind.__name__} or of one in {package}"
    if found is not None:
        example = f"{found.__name__}(...), of {found.__module__}"
    raise InputError(f"{owner}: {name} is {value!r}, which is no {kind.__name__}: in Python give it {example}.")


def _below(kind: type) -> Iterator[type]:
    child: type
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def keep_settings(module: Any, save: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Makes the settings of a method or a data module what Lightning writes into its checkpoints.

    Those of the command line are what Lightning takes by itself; of what a constructor is given in Python it would keep
    a copy, networks included. What is neither plain nor `Rebuildable` is left out with a warning.

    Args:
        module: a `Rebuildable` of Lightning's.
        save: Lightning's `save_hyperparameters` of this module.
        *args: what it is called with.
        **kwargs: what it is called with.
    """
    from ssl_zoo.lightning_inside import CLASS_PATH, INSTANTIATOR, are_settings_given, settings_given

    if are_settings_given():
        save(*args, **{"frame": _this_frame(), **kwargs})
        if INSTANTIATOR in module.hparams:
            return
    settings = module.settings["init_args"]
    foreign = [name for name, value in settings.items() if not _is_plain(value)]
    if foreign:
        warnings.warn(
            f"{type(module).__name__}: its checkpoints leave out {', '.join(foreign)}, which no setting describes, and "
            "cannot be loaded without: derive such a class from ssl_zoo.rebuilding.Rebuildable, as encoders are.",
            stacklevel=3,
        )
    kept = {name: value for name, value in settings.items() if name not in foreign}
    kept[CLASS_PATH] = module.settings["class_path"]
    if foreign:  # or a default would silently take its place
        kept[LEFT_OUT] = foreign
    module.hparams.clear()
    with settings_given(kept):
        save(logger=kwargs.get("logger", True), frame=_this_frame())


def _this_frame() -> FrameType | None:
    """The frame to give to Lightning, which needs none here.

    Left to itself it takes its own into a variable, and with this circle all that callers hold, such as networks and
    processes that fetch batches, stays until somebody looks for garbage.
    """
    return inspect.currentframe()


def kinds_in(settings: dict[str, Any]) -> dict[str, Any]:
    """`Rebuildable.settings` as `kind` and `arguments`, which the command line does not take for something to build.

    Args:
        settings: `class_path` and `init_args`, whose values may be such settings themselves.
    """
    arguments = {
        name: kinds_in(value) if isinstance(value, dict) and "class_path" in value else value
        for name, value in settings.get("init_args", {}).items()
    }
    return {"kind": settings["class_path"], "arguments": arguments}


def build(kinds: dict[str, Any]) -> Any:
    """What settings were taken down of, built again with new weights.

    Args:
        kinds: settings as `kinds_in` gives them.
    """
    module, _, kind = kinds["kind"].rpartition(".")
    arguments = {
        name: build(value) if isinstance(value, dict) and "kind" in value else value
        for name, value in kinds["arguments"].items()
    }
    return getattr(importlib.import_module(module), kind)(**arguments)


def with_absolute_paths(class_: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings whose paths hold from any folder.

    An argument that may be a `Path` is one. A name such as that of a tokenizer is one where it has a slash in it and
    something of that name is there, as it is for whoever reads it.

    Args:
        class_: whose constructor takes them.
        settings: arguments by name.
    """
    try:
        hints = typing.get_type_hints(class_.__init__)  # type: ignore[misc]  # a subclass may have another, and none is asked
    except NameError:  # types that are imported for type checkers alone
        return settings
    paths = {name for name, hint in hints.items() if Path in (hint, *typing.get_args(hint))}
    return {
        name: _absolute(value) if isinstance(value, str | Path) and (name in paths or _is_there(value)) else value
        for name, value in settings.items()
    }


def _require_rates(owner: str, arguments: dict[str, Any]) -> None:
    """Refuses rates of dropout of which the layers that get them would raise an error of their own."""
    for name, value in arguments.items():
        if not name.endswith("dropout") or not isinstance(value, int | float):
            continue
        if not 0 <= value <= 1:
            raise InputError(f"{owner}: {name} is {value}; give a probability between 0 and 1.")
        if value == 1 and name != "word_dropout":  # a decoder that reads no words has the code
            raise InputError(f"{owner}: {name} is 1, which leaves nothing of what a layer gives: give less than that.")


def _taken_down(class_: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    signature = inspect.signature(class_)
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError:  # the constructor is about to refuse them itself, and says its own name
        return {}
    bound.apply_defaults()
    settings: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            settings.update(value)
        elif signature.parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL or value:
            settings[name] = value
    plain = {name: _plain(value) for name, value in with_absolute_paths(class_, settings).items()}
    return {"class_path": f"{class_.__module__}.{class_.__qualname__}", "init_args": plain}


def _is_there(name: str | Path) -> bool:
    try:
        return "/" in str(name) and Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long for a path, of an unknown user, with a null byte
        return False


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().resolve())


def _plain(value: Any) -> Any:
    if isinstance(value, Rebuildable):
        return value.settings
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(part) for part in value)
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, (*value, *value.values())))
    return all(map(_is_plain, value)) if type(value) in (list, tuple) else type(value) in _PLAIN
