"""Figures of weights that a run no longer has."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ssl_zoo.runs.files import FINE_TUNED, IN_CONTEXT, RESULTS
from ssl_zoo.runs.fine_tuned import read_fine_tuned
from ssl_zoo.runs.in_context_file import read_in_context
from ssl_zoo.runs.result_file import read_result

# After how many optimizer steps of pretraining the figures in a file were found, by the file's name.
_STEPS: dict[str, Callable[[Path], int | None]] = {
    RESULTS: lambda path: read_result(path.parent).budget.steps,
    IN_CONTEXT: lambda path: read_in_context(path.parent).steps or None,  # earlier versions did not write it down
    FINE_TUNED: lambda path: read_fine_tuned(path).pretraining.steps or None,  # nor did these
}


def evaluated_steps(directory: Path) -> int | None:
    """After how many optimizer steps a run was evaluated that has results; None where it has none that can be read."""
    return _steps(RESULTS, directory / RESULTS)


def put_results_aside(directory: Path, steps: int) -> None:
    """Renames figures that are not of these weights: neither a table nor a model card is to show them for such.

    Args:
        directory: folder of the run.
        steps: optimizer steps that its checkpoint has.
    """
    for name in _STEPS:
        for path in sorted(directory.glob(name)):
            before = _steps(name, path)
            if before is not None and before != steps:
                os.replace(path, path.with_name(f"after-{before}-steps-{path.name}"))  # found by no pattern above


def _steps(name: str, path: Path) -> int | None:
    with suppress(OSError, ValueError):  # missing, or no whole file, which whoever reads it says
        return _STEPS[name](path)
    return None
