"""`--model.help`, `--data.source.help` and the like, alone on a command line: which classes there are, what they take.

jsonargparse answers for a class whose owner is chosen, and a newcomer has chosen nothing yet.
"""

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentParser

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.suggestions import nearest

_ASKED = re.compile(r"--(?P<place>(?:model|data)(?:\.\w+)*)\.help(?:=(?P<name>.*))?")


def explain_class(args: list[str]) -> bool:
    """Prints the classes of a setting, or the settings of one of them, where a command line asks for it.

    Args:
        args: The command line without the program's name.

    Returns:
        Whether it does; a class of one's own, given as module.Class, is left to the parser.

    Raises:
        InputError: There is no setting of that name, or no such class of it.
    """
    for number, arg in enumerate(args):
        asked = _ASKED.fullmatch(arg)
        if asked is None:
            continue
        following = args[number + 1] if number + 1 < len(args) else "-"
        name = asked["name"] or (None if following.startswith("-") else following)
        place = asked["place"]
        classes = {class_.__name__: class_ for class_ in classes_for(place, _chosen(args))}
        groups = [each for each, class_ in classes.items() if is_dataclass(class_)]  # of settings, like `optimizer`
        if name is None and not groups:
            print(_listed(place, args[0], classes), end="")
            return True
        if name is not None and ("." not in place or "." in name):
            return False
        name = name or groups[0]
        if name not in classes:
            raise InputError(f"{place}: there is no class '{name}'{nearest(name, classes) or '.'}")
        print(_settings(place, args[0], classes[name]), end="")
        return True
    return False


def classes_for(place: str, chosen: dict[str, str] | None = None) -> list[type]:
    """Classes that can be given for a setting, by name.

    Args:
        place: Setting, such as `model`, `data.source` or `model.encoder.front_end`.
        chosen: Names of the classes that are given for settings, where fewer than all are of interest.

    Raises:
        InputError: No class has such a setting, or no class can be given for it.
    """
    owner, _, name = place.rpartition(".")
    if not owner:
        bases: set[type] = {Method if place == "model" else DataModule}
    else:
        owners = classes_for(owner, chosen)
        owners = [each for each in owners if each.__name__ == (chosen or {}).get(owner)] or owners
        bases = {base for each in owners for base in _kinds_of(each, name)}
    found = {class_ for base in bases for class_ in _below(base)}
    if not found:
        raise InputError(f"There is no setting {place} that is a class; --model.help and --data.help list the first.")
    return sorted(found, key=lambda class_: class_.__name__)


def _kinds_of(class_: type, name: str) -> Iterator[type]:
    """What an argument of a class can be, those that it passes on to its bases included."""
    for each in class_.__mro__:
        if "__init__" in vars(each) and name in (hints := get_type_hints(vars(each)["__init__"])):
            yield from (kind for kind in _parts(hints[name]) if _has_settings(kind))


def _parts(hint: Any) -> Iterator[Any]:
    """The types in a union or a list of them."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _has_settings(kind: Any) -> bool:
    """Whether a type is a class of this package with others below it, and no number, text or group of settings."""
    return inspect.isclass(kind) and kind.__module__.startswith("ssl_zoo.") and not issubclass(kind, tuple)


def _below(base: type) -> set[type]:
    found = set() if inspect.isabstract(base) or base.__name__.startswith("_") else {base}
    child: type
    for child in base.__subclasses__():
        found |= _below(child)
    return found


def _chosen(args: list[str]) -> dict[str, str]:
    """The classes that a command line names, by setting."""
    pairs = [arg.partition("=")[::2] for arg in args] + list(pairwise(args))
    return {option.removeprefix("--"): value for option, value in pairs if option.startswith("--") and value}


def _listed(place: str, command: str, classes: dict[str, type]) -> str:
    width = max(map(len, classes))
    # A terminal has room for the beginning of a sentence, a file for all of it.
    room = shutil.get_terminal_size().columns - width - 4 if sys.stdout.isatty() else 1000
    lines = [f"--{place} takes one of these, or module.Class of your own:", ""]
    lines += [
        f"  {name:{width}}  {textwrap.shorten(_first(class_), room, placeholder=' ...')}"
        for name, class_ in classes.items()
    ]
    return "\n".join([*lines, "", f"ssl-zoo {command} --{place}.help CLASS lists the settings of one.", ""])


def _settings(place: str, command: str, class_: type) -> str:
    parser = ArgumentParser(
        description=_first(class_), usage=f"ssl-zoo {command} --{place} {class_.__name__} [options]"
    )
    settings = parser.add_class_arguments(class_, place)
    return parser.format_help() if settings else f"{class_.__name__}: {_first(class_)}\n\nIt has no settings.\n"


def _first(class_: type) -> str:
    """The first sentence of what a class says of itself."""
    return " ".join((inspect.getdoc(class_) or "").split("\n\n")[0].split())
