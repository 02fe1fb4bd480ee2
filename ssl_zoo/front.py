"""What the command line answers at once, before anything heavy is imported: help, the version, what is not there."""

import argparse
import ast
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from docstring_parser import parse as parse_docstring

from ssl_zoo import __version__
from ssl_zoo.commands import COMMANDS, EXAMPLES, LIGHTNINGS_OPTIONS, function_of
from ssl_zoo.errors import InputError
from ssl_zoo.packaged import locate
from ssl_zoo.runs.files import CONFIG, last_checkpoint
from ssl_zoo.runs.named import (
    check_checkpoint,
    check_config,
    check_experiments,
    check_folders_of_runs,
    check_run,
    check_run_to_resume,
)
from ssl_zoo.suggestions import nearest, no_option, then

HELP = ("-h", "--help")
SILENCE = 25.0  # seconds without a line, as of `ssl_zoo.whereabouts`, which this cannot import
# Options of any command whose value is to be there, and what refuses it.
FILES: dict[str, Callable[[str], None]] = {
    "--config": check_config,
    "-c": check_config,
    "--ckpt_path": check_checkpoint,
    "--run": lambda value: check_run(Path(value)),
    "--resume": lambda value: None if value == "auto" else check_run_to_resume(Path(value)),
}
FOLDERS: dict[str, Callable[[list[Path]], None]] = {"compare": check_folders_of_runs, "sweep": check_experiments}


def answer(args: list[str]) -> bool:
    """Answers a command line that needs no more than this, and looks whether the files are there that it names.

    Args:
        args: The command line without the program's name.

    Returns:
        Whether the command has been run, and nothing is left to do.

    Raises:
        InputError: There is no such command, option or file.
        SystemExit: Help or the version has been printed, as argparse's parsers end then.
    """
    name = args[0] if args else HELP[0]
    if name in HELP:
        print(overview(), end="")
        sys.exit(0)
    if name == "--version":
        print(__version__)
        sys.exit(0)
    if name.startswith("-"):
        if re.split(r"[=.]", name)[0] in (*FILES, "--print_config"):  # which Lightning also takes before a command
            return False
        raise InputError(f"There is no option '{name}' without a command; `ssl-zoo --help` lists the commands.")
    if name not in COMMANDS:
        raise InputError(
            then(f"There is no command '{name}'{nearest(name, COMMANDS)}", f"the commands are {', '.join(COMMANDS)}.")
        )
    command = COMMANDS[name]
    options = args[1 : args.index("--")] if "--" in args else args[1:]
    if not command.is_lightnings and any(option in HELP for option in options):
        print(command_help(name), end="")
        sys.exit(0)
    _check_leading(name, options)
    _check_options(name, options)
    _check_files(name, options)
    if command.light and len(options) == len(command.positional):
        getattr(import_module(command.module), function_of(name))(*options)
        return True
    return False


def overview() -> str:
    """What `ssl-zoo --help` says."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.line}" for name, command in COMMANDS.items()]
    examples = [f"  {line}" for line, _ in EXAMPLES["fit"][:1]]
    examples += ["  ssl-zoo probe --run runs/quickstart/TIME-ID", "  ssl-zoo compare runs"]
    return "\n".join(
        [
            "usage: ssl-zoo COMMAND [options]",
            "",
            "Pretrain, probe and compare self-supervised methods on images, text and speech.",
            "",
            "commands:",
            *lines,
            "",
            "examples:",
            *examples,
            "",
            "ssl-zoo COMMAND --help lists the options of one, ssl-zoo --version the version.",
            "",
        ]
    )


def examples_of(command: str) -> str:
    """Typical command lines of one of Lightning's commands, for its help."""
    return "\n".join(f"  {line}\n      {purpose}" for line, purpose in EXAMPLES[command])


class Option(NamedTuple):
    """An argument of a command's function.

    Attributes:
        name: What it is called.
        kind: Its type as it is written; empty where it has none.
        default: Its default as it is written; None where it must be given.
        help: What the docstring says of it.
    """

    name: str
    kind: str
    default: str | None
    help: str


def options_of(name: str) -> tuple[str, list[Option]]:
    """What a command does, and its arguments, as they stand in its source: importing it takes seconds.

    Args:
        name: Name of a command that is not Lightning's.
    """
    command = COMMANDS[name]
    spec = find_spec(command.module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function_of(name))
    docstring = parse_docstring(ast.get_docstring(function) or "")
    said = {each.arg_name: " ".join((each.description or "").split()) for each in docstring.params}
    given = function.args.args
    defaults = [None] * (len(given) - len(function.args.defaults)) + [ast.unparse(d) for d in function.args.defaults]
    options = [
        Option(arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", default, said.get(arg.arg, ""))
        for arg, default in zip(given, defaults, strict=True)
        if arg.arg not in command.left_out
    ]
    paragraphs = [docstring.short_description or "", docstring.long_description or ""]
    return "\n\n".join(filter(None, paragraphs)), options


def command_help(name: str) -> str:
    """What `ssl-zoo COMMAND --help` says of a command that is not Lightning's."""
    description, options = options_of(name)
    command, flags = COMMANDS[name], dict(COMMANDS[name].flags)
    parser = argparse.ArgumentParser(f"ssl-zoo {name}", description=description, formatter_class=_Formatter)
    for option in options:
        explained = option.help.replace("%", "%%")
        many = option.kind.startswith("list")
        if option.name in command.positional:
            parser.add_argument(option.name, nargs="+" if many else None, help=explained)
        elif option.name in flags:
            parser.add_argument(f"--{flags[option.name]}", action="store_true", help=explained)
        else:
            required = option.default is None
            kind = f"type: {option.kind}" + ("" if required else f", default: {option.default}")
            class_ = option.kind[:1].isupper() and option.kind.isidentifier() and option.kind != "Path"
            more = f"; --{option.name}.help CLASS lists its settings" if class_ and required else ""
            metavar = "[ITEM,...]" if many else option.name.upper()
            said = f"{explained} ({kind.replace('%', '%%')}{more})"
            parser.add_argument(f"--{option.name}", required=required, metavar=metavar, help=said)
    return parser.format_help()


@contextmanager
def sign_of_life() -> Iterator[None]:
    """Within, a person at a terminal sees that the program is at work; elsewhere a line says so where it takes long."""
    shown, loaded = sys.stderr.isatty(), threading.Event()
    if shown:
        sys.stderr.write("ssl-zoo: loading PyTorch and Lightning ...")
        sys.stderr.flush()
    else:
        threading.Thread(target=_say_that_it_loads, args=(loaded,), name="sign of life", daemon=True).start()
    try:
        yield
    finally:
        loaded.set()
        if shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def _say_that_it_loads(loaded: threading.Event) -> None:
    began = time.monotonic()
    while not loaded.wait(SILENCE):
        sys.stderr.write(f"ssl-zoo: loading PyTorch and Lightning ({time.monotonic() - began:.0f} s so far)\n")
        sys.stderr.flush()


class _Formatter(argparse.HelpFormatter):
    """Keeps the paragraphs of a description."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = re.split(r"\n\s*\n", text)
        return "\n\n".join(super(_Formatter, self)._fill_text(part, width, indent) for part in parts)


def _check_leading(name: str, options: list[str]) -> None:
    """Refuses a file, a run or any other word where options begin, and says which option it may be meant for."""
    command = COMMANDS[name]
    if command.positional or not options or options[0].startswith("-"):
        return
    given, quoted, meant = options[0], shlex.quote(options[0]), ""
    if (Path(given) / CONFIG).is_file():
        if name == "fit":
            meant = f"--resume {quoted}"
        elif name in ("validate", "test"):
            checkpoint = last_checkpoint(Path(given))
            meant = shlex.join(["--config", str(Path(given) / CONFIG), "--ckpt_path", str(checkpoint)])
        elif name == "predict" or any(option.name == "run" for option in options_of(name)[1]):
            meant = f"--run {quoted}"
    elif command.is_lightnings and Path(locate(given)).is_file():
        meant = f"--config {quoted}"
    meant = f", did you mean {meant}?" if meant else ""
    raise InputError(
        then(
            f"{name}: '{given}' stands where an option is expected{meant}",
            f"`ssl-zoo {name} --help` lists the options.",
        )
    )


def _check_options(name: str, options: list[str]) -> None:
    """Refuses an option that a command does not have, and a command without one that it needs.

    Of the settings of methods, data and Trainers only those who import them know; here their first words must fit.
    """
    command, flags = COMMANDS[name], dict(COMMANDS[name].flags)
    needed: list[str] = []
    if command.is_lightnings:
        known = list(LIGHTNINGS_OPTIONS)
    else:
        known = [flags.get(option.name, option.name) for option in options_of(name)[1]]
        known = [each for each in known if each not in command.positional]
        needed = [option.name for option in options_of(name)[1] if option.default is None and option.name in known]
    given = [re.split(r"[=+]", option.removeprefix("--"))[0] for option in options if option.startswith("--")]
    for option in given:
        first, dot, rest = option.partition(".")
        if first not in known and command.is_lightnings:
            raise InputError(no_option(option, (f"{each}{dot}{rest}" for each in known), name))
        if first not in known:
            raise InputError(no_option(option, known, name))
    absent = [each for each in needed if each not in {option.split(".")[0] for option in given}]
    asked = any(option.endswith(".help") for option in given)
    if absent and not asked:
        words = " and ".join(f"--{each}" for each in absent)
        raise InputError(
            f"{name} needs {words}; `ssl-zoo {name} --help` says what {'they take' if absent[1:] else 'it takes'}."
        )
    if command.positional and not options:
        words = " and ".join(command.positional).upper()
        raise InputError(f"{name} needs {words}; `ssl-zoo {name} --help` says what that is.")


def _check_files(name: str, options: list[str]) -> None:
    if any(option.split("=")[0] == "--resume" for option in options):  # with which --ckpt_path is refused anyway
        files = {option: check for option, check in FILES.items() if option != "--ckpt_path"}
    else:
        files = FILES
    for place, option in enumerate(options):
        key, given, value = option.partition("=")
        if key not in files:
            continue
        if not given:
            value = options[place + 1] if place + 1 < len(options) else "-"
        if value and not value.startswith("-"):
            files[key](value)
        elif key != "--resume":  # of which others know what it takes
            raise InputError(f"{key}: nothing follows it; `ssl-zoo {name} --help` says what it takes.")
    if name in FOLDERS:
        leading = [place for place, option in enumerate(options) if option.startswith("-")]
        FOLDERS[name]([Path(option) for option in options[: leading[0] if leading else len(options)]])
