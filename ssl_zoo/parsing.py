"""Command lines read strictly: a typo becomes one sentence that says what was meant."""

import inspect
from collections.abc import Iterable
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import lightning as L
from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace
from lightning.pytorch.cli import LightningArgumentParser
from torch import nn

from ssl_zoo.commands import COMMANDS
from ssl_zoo.data.audio.sources.base import AudioSource
from ssl_zoo.data.image.sources.base import ImageSource
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.text.sources.base import TextSource
from ssl_zoo.errors import InputError
from ssl_zoo.front import examples_of
from ssl_zoo.own_code import place_of_failure
from ssl_zoo.suggestions import explain, settings_of_parts

# Errors come to `ssl_zoo.cli.main`, and half an option's name is a typo, not a shorthand.
STRICT: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}


class LinesKept(DefaultHelpFormatter):
    """Help whose description has the lines that it was written in."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))


def beginning_of_help(command: str) -> dict[str, Any]:
    """What the help of one of Lightning's commands begins with, as arguments of its parser.

    Args:
        command: Name of the command.
    """
    more = (
        f"Files compose, the later wins, and options override them.\nssl-zoo {command} --model.help lists the methods, "
        "--model.help SimCLR the\nsettings of one; so do --data.help, --data.source.help, --model.encoder.help and\n"
        "--model.views.help."
    )
    line = COMMANDS[command].line
    return {
        "usage": f"ssl-zoo {command} --config FILE [--config FILE ...] [options]",
        "description": f"{line[0].upper()}{line[1:]}.\n\nexamples:\n{examples_of(command)}\n\n{more}",
    }


class StrictParser(LightningArgumentParser):
    """A parser to which half an option's name is a typo; so are those that it makes for settings of settings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Any = None, *positional: Any, **kwargs: Any) -> Any:
        """As jsonargparse's, which writes a setting of a setting out as Python would, so that null reaches it as None.

        Args:
            args: options, a single one where a parser has made this one for a setting of a setting.
            *positional: passed on.
            **kwargs: passed on; `defaults` is what jsonargparse gives to the parsers that it makes.
        """
        if "defaults" in kwargs and isinstance(args, list) and len(args) == 1 and args[0].endswith("=None"):
            args = [f"{args[0].removesuffix('None')}null"]
        return super().parse_args(args, *positional, **kwargs)

    def dump(self, namespace: Namespace, *positional: Any, **kwargs: Any) -> str:
        """As jsonargparse's, which checks all settings again; they were when they were read, and it takes as long.

        Args:
            namespace: settings that this parser has read.
            *positional: passed on.
            **kwargs: passed on.
        """
        return super().dump(namespace, *positional, **{"skip_validation": True, **kwargs})


def parse(parser: ArgumentParser, args: list[str], subparsers: Iterable[ArgumentParser] = ()) -> Namespace:
    """Parses, or raises InputError with a sentence that says what was meant."""
    try:
        settings = parser.parse_args(args)
    except ArgumentError as error:
        options = {action.dest for each in (parser, *subparsers) for action in each._actions}
        names = {
            found.__name__
            for base in (nn.Module, L.LightningDataModule, AudioSource, ImageSource, TextSource)
            for found in _below(base)
        }
        raise InputError(explain(str(error), options, names)) from error
    except SystemExit as error:  # Ctrl-C or --help, or what a module of the user's does while it is imported
        if type(error) is not SystemExit or (place := place_of_failure(error)) is None:
            raise
        raise InputError(
            f"{place} ends the program while its file is imported: put that below `if __name__ == '__main__':`."
        ) from error
    command = settings.get("subcommand")
    _refuse_empty_parts(settings[command] if command else settings)
    return settings


def _refuse_empty_parts(settings: Namespace, place: str = "") -> None:
    """Refuses a group of settings such as `optimizer` without any, or with one value in place of all."""
    for name, value in vars(settings).items():
        if not isinstance(value, Namespace):
            continue
        here = place if name == "init_args" else f"{place}.{name}".removeprefix(".")
        if "class_path" in value and isinstance(inner := value.get("init_args"), Namespace):
            module, _, kind = value.class_path.rpartition(".")
            class_ = getattr(import_module(module), kind)
            _refuse_null(class_, vars(inner), here)
            alone = {part: given for part, given in vars(inner).items() if not isinstance(given, Namespace | dict)}
            unfit = [part for part, given in alone.items() if given is None or _is_group(class_, part)]
            parts = settings_of_parts(class_) if unfit else {}
            for part in filter(parts.__contains__, unfit):
                found = "empty" if alone[part] is None else f"'{alone[part]}', but it has settings of its own"
                raise InputError(
                    f"{here}.{part} is {found}: write some of {', '.join(parts[part])} below it, or leave it out."
                )
        _refuse_empty_parts(value, here)


def _refuse_null(class_: type, given: dict[str, Any], place: str) -> None:
    """Refuses null for arguments of a class that are of another type and have a default."""
    try:
        hints = get_type_hints(class_.__init__)  # type: ignore[misc]  # a subclass may have another, and none is asked
    except NameError:  # types that are imported for type checkers alone
        return
    parameters = inspect.signature(class_).parameters
    for name in (name for name, value in given.items() if value is None and name in hints and name in parameters):
        default = parameters[name].default
        if default in (None, inspect.Parameter.empty) or _is_group(class_, name):  # a group has a sentence of its own
            continue
        if not _takes_none(hints[name]):
            raise InputError(f"{place}.{name} is null: give a value, or leave it out for the default, {default}.")


def _takes_none(hint: Any) -> bool:
    return hint in (Any, None, type(None), object) or any(map(_takes_none, get_args(hint)))


def _is_group(class_: type, name: str) -> bool:
    """Whether an argument of a class is a group of settings."""
    try:
        hint = get_type_hints(class_.__init__).get(name)  # type: ignore[misc]  # a subclass may have another, and none is asked
    except NameError:  # types that are imported for type checkers alone
        return False
    return isinstance(hint, type) and is_dataclass(hint)


def resolve_paths(config: Namespace) -> None:
    """Makes the paths of a data source absolute, so that a run finds its data again from any folder.

    Args:
        config: settings of a command, changed in place. What stands at its default stays as it is.
    """
    source = config.get("data.init_args.source")
    if not isinstance(source, Namespace) or "init_args" not in source:
        return
    module, _, kind = source.class_path.rpartition(".")
    for name, parameter in inspect.signature(getattr(import_module(module), kind)).parameters.items():
        value = source.init_args.get(name)
        if not isinstance(value, str | Path) or value == parameter.default:
            continue
        if "Path" in str(parameter.annotation) or (Path(value).expanduser().is_dir() and name == "name"):
            source.init_args[name] = resolved(value)


def _below(base: type) -> set[type]:
    found: set[type] = {base}
    child: type
    for child in base.__subclasses__():
        found |= _below(child)
    return found
