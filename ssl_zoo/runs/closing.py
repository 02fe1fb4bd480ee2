"""What a command ends with: where a run lies, what to type to go on with it, and what was measured."""

import shlex
from pathlib import Path

from ssl_zoo.runs.files import RESULTS, last_checkpoint


def closing_lines(directory: Path, longer: str = "", exports: bool = True) -> str:
    """The path of a run, and the commands to resume, evaluate, embed and export it, one a line.

    Args:
        directory: Folder of the run.
        longer: Option that lets a run go on that has done all its steps, such as `--trainer.max_steps 200`.
        exports: Whether its encoder can be exported, which one that reads place after place cannot.
    """
    run, path = shlex.quote(str(directory)), last_checkpoint(directory)
    commands = {"resume": f"ssl-zoo fit --resume {run} {longer}".strip()}
    if path.is_file():
        again = "evaluate again" if (directory / RESULTS).is_file() else "evaluate"
        commands[again] = f"ssl-zoo probe --run {run}"
        commands["embed"] = f"ssl-zoo predict --run {run}"
    if path.is_file() and exports:
        # A folder of the run's own, so that the command works for the next run, too.
        commands["export"] = f"ssl-zoo export --run {run} --out {shlex.quote(str(directory / 'exported'))}"
    width = max(map(len, commands))
    return "\n".join([f"Run: {directory}", *(f"  {name:{width}}  {line}" for name, line in commands.items())])


def number_lines(numbers: dict[str, float], kept: Path) -> str:
    """Numbers by name with four digits, one a line, and where all their digits are.

    Args:
        numbers: at least one.
        kept: file of the run's log; it need not be there.
    """
    width = max(map(len, numbers))
    lines = [f"{name:{width}}  {value:.4g}" for name, value in sorted(numbers.items())]
    return "\n".join(["", *lines, *(["", f"All digits: {kept}"] if kept.is_file() else [])])
