"""Figures of weights that a run no longer has."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ssl_zoo.runs.files import (
    EVALUATED_FIGURES,
    FEATURES,
    FIGURES,
    FINE_TUNED,
    IN_CONTEXT,
    NEIGHBOURS_IN_WORDS,
    RESULTS,
    TRANSLATIONS,
)
from ssl_zoo.runs.fine_tuned import read_fine_tuned
from ssl_zoo.runs.in_context_file import read_in_context
from ssl_zoo.runs.result_file import read_result

# After how many optimizer steps of pretraining the figures in a file were found, by the file's name.
_STEPS: dict[str, Callable[[Path], int | None]] = {
    RESULTS: lambda path: read_result(path.parent).budget.steps,
    IN_CONTEXT: lambda path: read_in_context(path.parent).steps or None,  # earlier versions did not write it down
    FINE_TUNED: lambda path: read_fine_tuned(path).pretraining.steps or None,  # nor did these
}

# What an evaluation leaves beside its figures; `RESULTS` says of which weights.
_BESIDE = (FEATURES, NEIGHBOURS_IN_WORDS, TRANSLATIONS, *(f"{FIGURES}/{name}" for name in EVALUATED_FIGURES))


def evaluated_steps(directory: Path) -> int | None:
    """After how many optimizer steps a run was evaluated that has results; None where it has none that can be read."""
    return _steps(RESULTS, directory / RESULTS)


def put_results_aside(directory: Path, steps: int) -> None:
    """Renames what is not of these weights: neither a table nor a model card nor anybody is to take it for such.

    Args:
        directory: folder of the run.
        steps: optimizer steps that its checkpoint has.
    """
    for name in _STEPS:
        for path in sorted(directory.glob(name)):
            before = _steps(name, path)
            if before is not None and before != steps:
                beside = [directory / each for each in _BESIDE] if name == RESULTS else []
                for each in (*(there for there in beside if there.exists()), path):
                    os.replace(each, each.with_name(f"after-{before}-steps-{each.name}"))  # found by no pattern above


def _steps(name: str, path: Path) -> int | None:
    with suppress(OSError, ValueError):  # missing, or no whole file, which whoever reads it says
        return _STEPS[name](path)
    return None
