"""The command line, `ssl-zoo fit | validate | test | predict | probe ...`: it wires the rooms together."""

import errno
import importlib
import logging
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ssl_zoo import __version__
from ssl_zoo.compare.compare import compare
from ssl_zoo.errors import InputError, own_errors
from ssl_zoo.evaluation.in_context import in_context
from ssl_zoo.evaluation.probe import probe
from ssl_zoo.evaluation.public import probe_public
from ssl_zoo.export.export import export
from ssl_zoo.finetuning.finetune import finetune
from ssl_zoo.packaged import list_experiments, with_located_configs
from ssl_zoo.parsing import STRICT, parse
from ssl_zoo.processes import leave, speaks
from ssl_zoo.signals import Stopped, requests
from ssl_zoo.sweep.sweep import sweep
from ssl_zoo.tracking.dashboard import dashboard
from ssl_zoo.tracking.wandb import close_wandb
from ssl_zoo.training_cli import ZooCLI, fit_settings

# Whatever is defined in these packages can be named in YAML without its module; a new file needs no entry anywhere.
NAMED_IN_YAML = ("ssl_zoo.encoders", "ssl_zoo.decoders", "ssl_zoo.views", "ssl_zoo.data", "ssl_zoo.methods")

# What is done with finished runs, and what is evaluated beside them; every other command is Lightning's.
ON_RUNS: dict[str, Callable[..., None]] = {
    "probe": probe,
    "finetune": finetune,
    "in-context": in_context,
    "export": export,
    "probe-public": probe_public,
    "compare": compare,
    "experiments": list_experiments,
    "dashboard": dashboard,
}
# What no code can do anything about while it writes; other errors of the operating system are bugs.
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
ON_RUNS_HELP = (
    "With a finished run: ssl-zoo probe --run runs/EXPERIMENT/TIME-ID evaluates its encoder on test data, "
    "ssl-zoo finetune --run ... trains it further on a labelled task, ssl-zoo in-context --run ... lets a GPT sort "
    "texts by examples in its prompt, ssl-zoo export --run ... --out FOLDER writes its encoder for others to load; "
    "ssl-zoo probe-public evaluates published encoders beside them; ssl-zoo compare RUN_OR_FOLDER ... ranks them all, "
    "ssl-zoo sweep EXPERIMENT_OR_FOLDER ... trains and ranks many, ssl-zoo experiments lists those that come with the "
    "package, ssl-zoo dashboard shows them on W&B "
    "(ssl-zoo probe -h and so on say more)."
)


def main(args: list[str] | None = None) -> None:
    """Runs one command and ends it with an exit code and one sentence on standard error where it fails.

    The code is 2 after a user's mistake and on a full disk, 130 after Ctrl-C, 143 after SIGTERM.

    Args:
        args: the command line without the program's name; None reads `sys.argv`.
    """
    sys.path.insert(0, os.getcwd())  # a console script does not see the user's own modules otherwise
    first = requests.take()
    try:
        run(sys.argv[1:] if args is None else args)
    except (InputError, MisconfigurationException) as error:  # a user's mistake: its sentence and code 2
        _refuse(str(error))
    except OSError as error:  # of a disk: a sentence and code 2
        if error.errno not in DISK_FAULTS:
            raise
        where = error.filename or "the output folder"
        _refuse(f"{where} cannot be written ({error.strerror}): make room or choose another folder.")
    except Stopped as stopped:  # its sentence and its code
        sentence = stopped.sentence or "before the end; the same command begins again"
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # the others have nothing else to say
            sys.stderr.write(f"ssl-zoo: Stopped by {stopped.name} {sentence}.\n")
        leave(int(stopped.code or 0), close_wandb)
    finally:
        if first:
            requests.give_back()


def _refuse(sentence: str) -> NoReturn:
    if speaks(sentence):
        sys.stderr.write(f"ssl-zoo: error: {sentence}\n")
    leave(2, close_wandb)


def run(args: list[str]) -> None:
    """Runs one command and lets errors pass."""
    _quiet()
    for package in NAMED_IN_YAML:
        _import_all(package)
    args = with_located_configs(args)
    if args[:1] == ["--version"]:
        print(__version__)
    elif args[:1] == ["sweep"]:
        _sweep(args[1:])
    elif args and args[0] in ON_RUNS:
        command = ON_RUNS[args[0]]
        parser = ArgumentParser(prog=f"ssl-zoo {args[0]}", **STRICT, description=(command.__doc__ or "").split("\n")[0])
        if command is compare:
            parser.add_argument("runs", nargs="+", type=Path, help="Run directories, or folders to search for some.")
        parser.add_function_arguments(command, skip={"runs"})
        settings = parse(parser, args[1:])
        with own_errors():
            settings = parser.instantiate(settings)
        command(**settings.as_dict())
    else:
        ZooCLI(args, ON_RUNS_HELP)
        close_wandb()


def _sweep(args: list[str]) -> None:
    cut = args.index("--") if "--" in args else len(args)
    parser = ArgumentParser(prog="ssl-zoo sweep", **STRICT, description=(sweep.__doc__ or "").split("\n")[0])
    parser.add_argument("experiments", nargs="+", type=Path, help="Experiments (.yaml), or folders that hold some.")
    parser.add_argument("--list", action="store_true", help="Print the commands that are left to run, and run none.")
    parser.add_function_arguments(sweep, skip={"experiments", "read", "overrides", "list_only"})
    settings = parse(parser, args[:cut]).as_dict()
    sweep(list_only=settings.pop("list"), **settings, read=fit_settings, overrides=args[cut + 1 :])


def _import_all(package: str) -> None:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{package}."):
        importlib.import_module(found.name)


def _quiet() -> None:
    """Silences what a user can do nothing about; every other warning stays."""
    for message in (
        ".*does not have many workers",  # data lies in memory
        ".*exists and is not empty",  # W&B keeps its files in the run directory too
        "The dirpath has changed",  # a resumed run has a directory of its own
        ".*smaller than the logging interval",  # steps are counted over the whole run
        ".*isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    ):
        warnings.filterwarnings("ignore", message)  # reasons stand above, one by one
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)  # which devices exist, which seed was set, advertisements
