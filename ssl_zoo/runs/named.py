"""Whether what somebody names on the command line is there; light, so that a mistake is answered at once."""

import re
from pathlib import Path

from ssl_zoo.errors import InputError
from ssl_zoo.packaged import listed, locate
from ssl_zoo.runs.files import CHECKPOINTS, CONFIG
from ssl_zoo.suggestions import nearest, then

# Words for checkpoints that are found, not named: the newest of an experiment, and those that Lightning knows of.
FOR_LIGHTNING = ("last", "hpc", "registry")


def check_config(given: str) -> None:
    """Refuses a file of settings that is not there.

    Args:
        given: What follows --config: a file, or an experiment that comes with the package; an address, or settings
            themselves, are left to others.

    Raises:
        InputError: There is no such file and no such experiment, or several are called so.
    """
    if re.fullmatch(r"[\w./~+-]+", given) is None or Path(locate(given)).is_file():
        return
    folder = Path(given).parent
    names = [str(file) for file in folder.glob("*.yaml")] + [each.name for each in listed()]
    raise InputError(
        then(
            f"--config: there is no file {given}{nearest(given, names)}",
            "`ssl-zoo experiments` lists those that come with the package.",
        )
    )


def check_checkpoint(path: str) -> None:
    """Refuses a checkpoint that is not there.

    Args:
        path: What follows --ckpt_path; an address or one of Lightning's words is left to others.

    Raises:
        InputError: There is no such file, or it is the best one that is asked for.
    """
    if path == "best":
        raise InputError("--ckpt_path: a run keeps its last checkpoint and no best one: say last, or name a file.")
    if path not in FOR_LIGHTNING and "://" not in path and not Path(path).is_file():
        raise InputError(f"--ckpt_path: there is no file {path}; give one like runs/.../checkpoints/last.ckpt.")


def check_run(directory: Path) -> None:
    """Refuses a folder that is not there, or holds nothing of a run.

    Raises:
        InputError: It is not, or does not.
    """
    if directory.is_dir() and ((directory / CONFIG).is_file() or any(directory.glob(f"{CHECKPOINTS}/*"))):
        return
    found = [path.parent for depth in ("*", "*/*") for path in directory.glob(f"{depth}/{CONFIG}")]
    below = sorted(found, key=lambda folder: folder.name)  # which begins with the time
    known = f" such as {below[-1]}, the newest below it" if below else " like runs/<experiment>/<time>-<id>"
    raise InputError(f"There is no run at {directory}: give a folder{known}.")


def check_run_to_resume(directory: Path) -> None:
    """Refuses a folder in which no run was begun.

    Raises:
        InputError: None was.
    """
    if not (directory / CONFIG).is_file():
        raise InputError(
            f"--resume: there is no run at {directory}, as it holds no {CONFIG}: give a folder like "
            "runs/<experiment>/<time>-<id>."
        )


def check_folders_of_runs(paths: list[Path]) -> None:
    """Refuses folders to search for runs that are not there.

    Raises:
        InputError: One is not.
    """
    for path in paths:
        if not path.is_dir():
            raise InputError(f"compare: there is no folder {path}: give run directories, or folders that hold some.")


def check_experiments(paths: list[Path]) -> None:
    """Refuses experiments of a sweep that are not there.

    Raises:
        InputError: One is not.
    """
    for path in paths:
        if not Path(locate(str(path))).exists():
            raise InputError(f"sweep: there is no file or folder {path}: give experiments or a folder that holds some.")
