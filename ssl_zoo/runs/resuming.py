"""`ssl-zoo fit --resume`: which run goes on, from where, and what must not have changed."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import finished_epochs
from ssl_zoo.runs.checkpoints import before, method_settings
from ssl_zoo.runs.files import CHECKPOINTS, CONFIG, LAST, LOCK, RESULTS, last_checkpoint
from ssl_zoo.runs.named import check_run_to_resume
from ssl_zoo.runs.outdated import evaluated_steps

AUTO = "auto"
# Settings of the optimizer that a resumed run follows; the others are part of the state in its checkpoint.
FOLLOWED = ("warmup", "schedule")
# Settings of one start of a run, not of the run.
OF_THE_START = ("config", "ckpt_path", "resume", "root", "runs_dir")


def with_root(args: list[str]) -> list[str]:
    """A command line whose `--root`, short for `--data.source.root`, is written out."""
    return [
        f"--data.source.root{arg.removeprefix('--root')}" if arg == "--root" or arg.startswith("--root=") else arg
        for arg in args
    ]


def value_of(args: list[str], option: str) -> str | None:
    """What a command line says last of an option, `--option VALUE` or `--option=VALUE`; None where it lacks it."""
    found = None
    for place, arg in enumerate(args):
        if arg == option and place + 1 < len(args):
            found = args[place + 1]
        elif arg.startswith(f"{option}="):
            found = arg.removeprefix(f"{option}=")
    return found


def take_resume(args: list[str]) -> tuple[str | None, list[str]]:
    """What follows --resume on a command line of `ssl-zoo fit`, and the command line without it.

    Raises:
        InputError: nothing follows.
    """
    rest = list(args)
    for place, option in enumerate(args):
        if option == "--resume":
            if place + 1 == len(args) or args[place + 1].startswith("--"):
                raise InputError("--resume: name a run directory, runs/<experiment>/<time>-<id>, or auto.")
            del rest[place : place + 2]
            return args[place + 1], rest
        if option.startswith("--resume="):
            del rest[place]
            return option.removeprefix("--resume="), rest
    return None, rest


def run_to_resume(directory: Path) -> Path:
    """`directory`, if a run lies there.

    Raises:
        InputError: none does, or its settings are damaged.
    """
    check_run_to_resume(directory)
    path = directory / CONFIG
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):  # damaged: refused below
        settings = None
    missing = [name for name in ("model", "data") if not (isinstance(settings, dict) and settings.get(name))]
    if missing:
        raise InputError(
            f"--resume: the settings in {path} are damaged, they lack {' and '.join(missing)}: put a whole file there, "
            f"or begin a new run with --config and --ckpt_path {last_checkpoint(directory)}."
        )
    return directory


def newest_run(folder: Path) -> Path | None:
    """The run directory in an experiment's folder that was begun last; None where there is none."""
    return max((path.parent for path in folder.glob(f"*/{CONFIG}")), key=lambda path: path.name, default=None)


def newest_checkpoint(folder: Path) -> Path:
    """The last checkpoint of the newest run in an experiment's folder that has one.

    Raises:
        InputError: None has.
    """
    runs = sorted((path.parents[1] for path in folder.glob(f"*/{CHECKPOINTS}/{LAST}")), key=lambda path: path.name)
    if not runs:
        raise InputError(
            f"--ckpt_path last: no run in {folder} has a checkpoint: name a file like runs/.../checkpoints/{LAST}, or "
            "give --experiment and --runs_dir."
        )
    return last_checkpoint(runs[-1])


def run_of(checkpoint: Path) -> Path | None:
    """The folder of the run that a checkpoint lies in, if something can be written there."""
    folder = checkpoint.resolve().parents[1]
    is_run = checkpoint.parent.name == CHECKPOINTS and (folder / CONFIG).is_file() and os.access(folder, os.W_OK)
    return checkpoint.parents[1] if is_run else None


def folders_to_make(directory: Path) -> list[Path]:
    """A folder and those above it that are not there, the deepest first."""
    return [folder for folder in (directory, *directory.parents) if not folder.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Removes folders in which there is nothing.

    Args:
        folders: Some that lie in each other, the deepest first; they need not be there.
    """
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError):  # another process was faster, or a file lies there
            if not any(folder.iterdir()):
                folder.rmdir()


def resumable(directory: Path) -> list[Path]:
    """A run's checkpoints, the one that was written last first."""
    paths = list(directory.glob(f"{CHECKPOINTS}/*.ckpt"))
    kept = {before(path) for path in paths}  # copying a folder may have changed the times: these are never the last
    return sorted(paths, key=lambda path: (path not in kept, path.stat().st_mtime), reverse=True)


def check_unfinished(checkpoint: dict[str, Any], path: Path, max_steps: int, max_epochs: int | None) -> None:
    """Refuses to resume a run that is over.

    Raises:
        InputError: it is.
    """
    if has_finished(checkpoint, max_steps, max_epochs):
        steps = checkpoint["global_step"]
        by_steps = 0 <= max_steps <= steps
        limit = f"trainer.max_steps beyond {steps}" if by_steps else f"trainer.max_epochs beyond {max_epochs}"
        raise InputError(
            f"The run has finished: its checkpoint {path} is of its last step, {steps}; raise "
            f"{limit} to train it further."
        )


def has_finished(checkpoint: dict[str, Any], max_steps: int, max_epochs: int | None) -> bool:
    """Whether a checkpoint is that of a run's end.

    Args:
        checkpoint: a checkpoint of Lightning.
        max_steps: highest number of steps of the run; negative for no limit.
        max_epochs: highest number of epochs of the run; None or negative for no limit.
    """
    epochs = finished_epochs(checkpoint)
    by_epochs = max_epochs is not None and 0 <= max_epochs <= epochs
    return 0 <= max_steps <= checkpoint["global_step"] or by_epochs


def check_optimizer(checkpoint: dict[str, Any], path: Path, settings: Mapping[str, Any]) -> None:
    """Refuses settings that a resumed run would not follow.

    Args:
        checkpoint: a checkpoint of Lightning.
        path: where it lies, for messages.
        settings: hyperparameters of the method.

    Raises:
        InputError: one differs.
    """
    saved = method_settings(checkpoint).get("optimizer", {})
    for name, value in settings.get("optimizer", {}).items():
        if name not in FOLLOWED and name in saved and saved[name] != value:
            raise InputError(
                f"model.optimizer.{name} is {value}, but {path} goes on with its optimizer's {saved[name]}: leave the "
                "setting as it was, or begin a new run."
            )


def overridden(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Which of a run's saved settings have another value now, as `name: before -> now`."""
    before_, now_ = _flat(saved), _flat(now)
    return [
        f"{name.replace('.init_args', '').replace('.class_path', '')}: {value} -> {now_.get(name)}"
        for name, value in before_.items()
        if name.split(".")[0] not in OF_THE_START and now_.get(name) != value
    ]


def check_name(experiment: str) -> None:
    """Refuses what is no name of one folder: elsewhere nobody would look for the run, and `compare` not at all.

    Raises:
        InputError: it is none.
    """
    if experiment in ("", ".", "..") or any(mark in experiment for mark in "/\\\0"):
        raise InputError(
            f"experiment is {experiment!r}: give the name of one folder, without /, and where it lies as --runs_dir."
        )


@contextmanager
def occupied(directory: Path, trainer: L.Trainer) -> Iterator[None]:
    """Within, no other process may train in a run directory, which two that resume the same run would spoil.

    A directory that is new is gone afterwards where nothing was written, or the run was refused at its first step.

    Raises:
        InputError: another one does already.
    """
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]  # which Lightning sets
        yield
        return
    made = folders_to_make(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"The run {directory} is being trained by another process: wait for it to end.") from error
    try:
        yield
    except InputError:  # what was refused before it began is no run
        written = [path for path in directory.iterdir() if path.name != LOCK]
        if made and (trainer.global_step == 0 or [path.name for path in written] == [CONFIG]):
            for path in written:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    finally:
        lock.release()
        if made and [path.name for path in directory.iterdir()] in ([], [LOCK]):
            (directory / LOCK).unlink(missing_ok=True)
            remove_empty(made)


def how_to_go_on(sentence: str, directory: Path, steps: int) -> str:
    """What the user of a run that was stopped is to know.

    Args:
        sentence: what is known of where it was stopped and what was saved; empty if nothing is.
        directory: folder of the run.
        steps: optimizer steps that it has done.
    """
    path = last_checkpoint(directory)
    if not (directory / CONFIG).is_file():
        return "before there was anything to save; the same command begins again"
    if not sentence and path.exists() and steps == evaluated_steps(directory):
        again = shlex.join(["ssl-zoo", "probe", "--run", str(directory)])
        return f"after its results were written to {directory / RESULTS}; `{again}` makes them again with all pictures"
    if not sentence:
        sentence = f"at once; the checkpoint is {path}" if path.exists() else "before there was anything to save"
    return f"{sentence}; `{shlex.join(['ssl-zoo', 'fit', '--resume', str(directory)])}` goes on"


def _flat(settings: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {name: settings}
    return {
        key: value for each in settings for key, value in _flat(settings[each], f"{name}.{each}".lstrip(".")).items()
    }
