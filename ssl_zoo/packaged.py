"""The experiments that come with the package: found by name where no file of that name exists, and listed."""

import re
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.errors import InputError

# A line of an experiment's header: what it costs; what it has reached.
SHORT = re.compile(r"^# In short: (?P<cost>[^;\n]+); (?P<reached>[^\n]+)$", re.MULTILINE)
SUFFIX = ".yaml"


class Listed(NamedTuple):
    """A line of `ssl-zoo experiments`.

    Attributes:
        name: path below the folder of experiments, without its suffix; `--config NAME` finds it.
        cost: time and hardware of a run.
        reached: figure that a run has reached, or that there was none yet.
    """

    name: str
    cost: str
    reached: str


def folder() -> Path:
    """The folder of the experiments: within an installed package, else beside it in the repository."""
    installed = Path(__file__).parent / "experiments"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "experiments"


def listed() -> list[Listed]:
    """The experiments that say what they cost and have reached; overlays, which only change others, do not."""
    found = []
    for path in sorted(folder().rglob(f"*{SUFFIX}")):
        header = path.read_text(encoding="utf-8").split("\nexperiment:")[0]
        if short := SHORT.search(header):
            found.append(Listed(_name_of(path), short["cost"], short["reached"]))
    return found


def locate(given: str) -> str:
    """The path of what is meant: a file or folder that exists, else an experiment of the package, or a folder of them.

    Args:
        given: a path, or the name of an experiment such as `quickstart`, `image/simclr` or, where only one is called
            so, `moco`.

    Returns:
        `given` itself where it exists, or where nothing is called so, for whoever reads it to say.

    Raises:
        InputError: several experiments are called so.
    """
    if Path(given).exists() or not given or Path(given).is_absolute():
        return given
    name = given.removeprefix("experiments/").removesuffix(SUFFIX).strip("/")
    exact = [folder() / f"{name}{SUFFIX}", folder() / name]
    found = [path for path in exact if name and ".." not in Path(name).parts and path.exists()][:1]
    if not found and "/" not in name:
        found = sorted(path for path in folder().rglob(f"*{SUFFIX}") if path.stem == name)
    if len(found) > 1:
        names = " or ".join(map(_name_of, found))
        raise InputError(f"There are several experiments called {given}: say {names}.")
    return str(found[0]) if found else given


def with_located_configs(args: list[str]) -> list[str]:
    """A command line whose every `--config NAME` says where the file lies; errors as `locate`.

    Args:
        args: the command line without the program's name.
    """
    located, after_option = [], False
    for arg in args:
        if after_option:
            arg = locate(arg)
        elif arg.startswith("--config="):
            arg = f"--config={locate(arg.removeprefix('--config='))}"
        located.append(arg)
        after_option = arg in ("-c", "--config")
    return located


def experiments() -> None:
    """Prints every experiment that comes with the package: its name for --config, its cost, and what it reached."""
    rows = listed()
    names, costs = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, cost, reached in rows:
        print(f"{name:<{names}}  {cost:<{costs}}  {reached}")
    print(f"\nssl-zoo fit --config NAME trains one. To read or to copy they lie in\n{folder()}")


def _name_of(path: Path) -> str:
    return path.relative_to(folder()).with_suffix("").as_posix()
