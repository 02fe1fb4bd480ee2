"""What several contract tests look at is trained once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.contracts.experiments import SAVING, fit


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Callable[[Path], Path]:
    """The directory of an experiment's finished run of five steps, with what `SavesOnTheWay` saved."""
    return cache(lambda path: fit(path, tmp_path_factory.mktemp("runs") / "runs", *SAVING))
