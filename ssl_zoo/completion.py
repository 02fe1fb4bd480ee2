"""Shell completion: a script that bash or zsh asks, so that no key waits for an import."""

import argparse
from collections.abc import Iterator
from typing import Any, Literal

import shtab
from jsonargparse import Namespace

from ssl_zoo.class_help import classes_for
from ssl_zoo.commands import COMMANDS
from ssl_zoo.front import options_of
from ssl_zoo.packaged import listed
from ssl_zoo.suggestions import settings_of
from ssl_zoo.training_cli import SettingsOnly

# Options by what is named after them.
FILES, FOLDERS = ("config", "ckpt_path", "weights"), ("run", "runs_dir", "out", "resume", "root", "runs", "data")
# Settings that are classes, whose names and whose own settings are offered.
CLASSES = ("model", "model.encoder", "model.views", "model.decoder", "data", "data.source")


def completion(shell: Literal["bash", "zsh"]) -> None:
    """Prints a script that completes commands, options, names of classes, files and folders.

    The script does not start Python, so that completion is immediate. Make it again after an upgrade.
    For bash: ssl-zoo completion bash > ~/.local/share/bash-completion/completions/ssl-zoo. For zsh, a folder of your
    fpath: ssl-zoo completion zsh > ~/.zfunc/_ssl-zoo.

    Args:
        shell: bash or zsh.
    """
    print(shtab.complete(_everything(), shell))


def _everything() -> argparse.ArgumentParser:
    """All commands with their options, as the plain parser that shtab reads."""
    whole = argparse.ArgumentParser("ssl-zoo")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    parsers = _Parsers([]).parsers
    for name, command in COMMANDS.items():
        parser = commands.add_parser(name, help=command.line)
        given = _of_function(name) if not command.is_lightnings else _of_parser(parsers[name])
        for option, settings in given:
            files = option.removeprefix("--").rpartition(".")[2]
            made = parser.add_argument(option, **settings)
            if files in FILES:
                made.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
            elif files in FOLDERS and "choices" not in settings:
                made.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # where shtab looks for it
    return whole


def _of_function(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Options of a command that is a function."""
    flags = dict(COMMANDS[name].flags)
    for option in options_of(name)[1]:
        said = {"help": _sentence(option.help)}
        if option.name in flags:
            yield f"--{flags[option.name]}", {"action": "store_true", **said}
        elif option.name == "shell":
            yield option.name, {"choices": ("bash", "zsh"), **said}
        elif option.name in COMMANDS[name].positional:
            yield option.name, {"nargs": "+", **said}
        else:
            choices = {"choices": ("true", "false")} if option.kind == "bool" else {}
            yield f"--{option.name}", {**choices, **said}


def _of_parser(parser: argparse.ArgumentParser) -> Iterator[tuple[str, dict[str, Any]]]:
    """Options of one of Lightning's commands, and the settings of all classes that it may be given."""
    known: dict[str, dict[str, Any]] = {}
    for action in parser._actions:
        option = next((each for each in action.option_strings if each.startswith("--")), None)
        if option is not None and option not in ("--help", "--print_config"):
            known[option] = {"help": _sentence(action.help or "")}
            if action.choices:
                known[option]["choices"] = tuple(map(str, action.choices))
    known["--config"] = {"help": f"file of settings, or one of {', '.join(each.name for each in listed())}"}
    for place in CLASSES:
        # The script is kept, and outlives what this process may have imported besides.
        classes = [class_ for class_ in classes_for(place) if class_.__module__.startswith("ssl_zoo.")]
        names = tuple(class_.__name__ for class_ in classes)
        known[f"--{place}"] = {"choices": names, "help": "class"}
        known[f"--{place}.help"] = {"choices": names, "help": "what there is, or the settings of one"}
        for class_ in classes:
            for setting in settings_of(class_):
                known.setdefault(f"--{place}.{setting}", {"help": f"of {class_.__name__}"})
    yield from known.items()


def _sentence(text: str) -> str:
    """The beginning of a help text, without what argparse would replace."""
    return " ".join(text.split()).split(". ")[0].split(" (type:")[0].replace("%", "%%")[:100]


class _Parsers(SettingsOnly):
    """The parsers of Lightning's commands, with nothing parsed."""

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Chooses no command."""
        self.config = Namespace(subcommand=None)
