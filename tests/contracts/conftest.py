"""What several contract tests look at is trained once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from ssl_zoo.methods.base import Method
from ssl_zoo.runs.run import rebuild
from tests.contracts.experiments import SAVING, checkpoint, fit


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Callable[[Path], Path]:
    """The directory of an experiment's finished run of five steps, with what `SavesOnTheWay` saved."""
    options = [*SAVING, "--trainer.val_check_interval=4"]  # one validation, after what is saved on the way
    return cache(lambda path: fit(path, tmp_path_factory.mktemp("runs") / "runs", *options))


@pytest.fixture(scope="session")
def rebuilt(finished) -> Callable[[Path], Method]:
    """The method of a finished run as its checkpoint's settings build it; for looking at only."""
    return cache(lambda path: rebuild(checkpoint(finished(path))))
