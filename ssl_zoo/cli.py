"""The command line, `ssl-zoo fit | validate | test | predict | probe ...`: it wires the rooms together."""

import errno
import importlib
import logging
import os
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ssl_zoo import front
from ssl_zoo.class_help import explain_class
from ssl_zoo.commands import COMMANDS, function_of
from ssl_zoo.errors import InputError
from ssl_zoo.launched import is_first, is_one_of_several
from ssl_zoo.own_code import own_errors, warnings_in_own_lines
from ssl_zoo.packaged import with_located_configs
from ssl_zoo.parsing import STRICT, parse
from ssl_zoo.predict_cli import names_run, predict_run
from ssl_zoo.processes import OthersGone, another_has_spoken, in_group, leave, speaks
from ssl_zoo.signals import Stopped, requests
from ssl_zoo.tracking.wandb import close_wandb
from ssl_zoo.training_cli import ZooCLI, fit_settings
from ssl_zoo.whereabouts import whereabouts
from ssl_zoo.yaml_files import check_configs

# Whatever is defined in these packages can be named in YAML without its module; a new file needs no entry anywhere.
NAMED_IN_YAML = (
    "ssl_zoo.encoders",
    "ssl_zoo.decoders",
    "ssl_zoo.corruption",
    "ssl_zoo.parts",
    "ssl_zoo.views",
    "ssl_zoo.data",
    "ssl_zoo.methods",
)

# What no code can do anything about while it writes; other errors of the operating system are bugs.
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
CLOSED = (errno.EACCES, errno.EPERM)


def main(args: list[str] | None = None) -> None:
    """Runs one command and ends it with an exit code and one sentence on standard error where it fails.

    The code is 2 after a user's mistake, on a full disk and where access is denied, 1 where another process of the run
    is gone, 130 after Ctrl-C, 143 after SIGTERM.

    Args:
        args: the command line without the program's name; None reads `sys.argv`.
    """
    sys.path.insert(0, os.getcwd())  # a console script does not see the user's own modules otherwise
    first = requests.take()
    try:
        with warnings_in_own_lines():
            run(sys.argv[1:] if args is None else args)
    except OthersGone as gone:  # which ends this one as well: its sentence, unless another has said why
        if another_has_spoken():
            leave(2, close_wandb)
        _refuse(str(gone), 1)  # nothing more is known here
    except (InputError, MisconfigurationException) as error:  # a user's mistake: its sentence and code 2
        _refuse(str(error))
    except OSError as error:  # of a disk, or of what is closed to this user: a sentence and code 2
        if error.errno in CLOSED and error.filename:
            _refuse(f"{error.filename} cannot be opened ({error.strerror}): give access to it, or name another.")
        if error.errno not in DISK_FAULTS:
            raise
        where = error.filename or "the output folder"
        _refuse(f"{where} cannot be written ({error.strerror}): make room or choose another folder.")
    except Stopped as stopped:  # its sentence and its code
        sentence = stopped.sentence or "before the end; the same command begins again"
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # the others have nothing else to say
            sys.stderr.write(f"ssl-zoo: Stopped by {stopped.name} {sentence}.\n")
        leave(int(stopped.code or 0), close_wandb)
    except Exception:  # a bug, whose traceback is shown
        if not in_group():
            raise
        if another_has_spoken():  # which has ended, and is missed here
            leave(2, close_wandb)
        traceback.print_exc()
        leave(1, close_wandb)
    finally:
        if first:
            requests.give_back()


def _refuse(sentence: str, code: int = 2) -> NoReturn:
    if speaks(sentence):
        sys.stderr.write(f"ssl-zoo: error: {sentence}\n")
    leave(code, close_wandb)


def run(args: list[str]) -> None:
    """Runs one command and lets errors pass."""
    if front.answer(args):
        return
    _quiet()
    import_named()
    args = with_located_configs(args)
    check_configs(args)
    if explain_class(args):
        sys.exit(0)  # as after any help
    if args[:1] in (["sweep"], ["completion"]):  # what they print may be read by a program
        _run(args)
        return
    with whereabouts.during(f"ssl-zoo {args[0]}"):
        _run(args)


def _run(args: list[str]) -> None:
    if args[:1] == ["predict"] and names_run(args):
        predict_run(args[1:])
    elif args and args[0] in COMMANDS and not COMMANDS[args[0]].is_lightnings:
        if not is_one_of_several() or is_first():  # they work in one process: two would write the same files
            _run_function(args[0], args[1:])
    else:
        ZooCLI(args)
        close_wandb()


def parser_of(name: str) -> tuple[ArgumentParser, Callable[..., None]]:
    """The parser of a command that is a function, whose arguments are its options, and the function."""
    command, flags = COMMANDS[name], dict(COMMANDS[name].flags)
    function = getattr(importlib.import_module(command.module), function_of(name))
    parser = ArgumentParser(prog=f"ssl-zoo {name}", **STRICT)
    for argument in command.positional:
        kind = get_type_hints(function)[argument]
        many = get_origin(kind) is list
        parser.add_argument(argument, type=get_args(kind)[0] if many else kind, nargs="+" if many else None)
    for flag in flags.values():
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_function_arguments(function, skip={*command.positional, *command.left_out, *flags})
    return parser, function


def _run_function(name: str, args: list[str]) -> None:
    parser, function = parser_of(name)
    sweeps = name == "sweep"
    cut = args.index("--") if sweeps and "--" in args else len(args)
    settings = parse(parser, args[:cut])
    with own_errors():
        settings = parser.instantiate(settings)
    given = settings.as_dict()
    for argument, flag in COMMANDS[name].flags:
        given[argument] = given.pop(flag)
    if sweeps:  # it starts runs of `fit`, with what follows --
        given.update(read=fit_settings, overrides=args[cut + 1 :])
    function(**given)


def import_named() -> None:
    """Imports everything that can be named in YAML without its module."""
    for package in NAMED_IN_YAML:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            importlib.import_module(found.name)


def _quiet() -> None:
    """Silences what a user can do nothing about; every other warning stays."""
    for message in (
        ".*does not have many workers",  # data lies in memory
        ".*exists and is not empty",  # W&B keeps its files in the run directory too
        "The dirpath has changed",  # a resumed run has a directory of its own
        "Grad strides do not match bucket view strides",  # of convolutions of 1 x 1, which look alike in both
        ".*smaller than the logging interval",  # steps are counted over the whole run
        ".*isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    ):
        warnings.filterwarnings("ignore", message)  # a user can do nothing about it
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)  # which devices exist, which seed was set, advertisements
