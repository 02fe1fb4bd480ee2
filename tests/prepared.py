"""What every process has that runs tests: settings for the whole suite, and fixtures for all of it."""

import atexit
import gc
import multiprocessing
import os
import pkgutil
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import ssl_zoo
from ssl_zoo.evaluation import figures
from ssl_zoo.export import program
from ssl_zoo.probes import linear
from ssl_zoo.probes.cross_validation import PENALTIES
from tests.small_runs import SmallRun, small_run
from tests.two_processes import TwoProcesses

# Tiny networks gain nothing from a second thread, and threads that wait for each other on a busy machine cost minutes.
# The cores are shared by test processes, and by those that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# A shell makes what it starts in the background deaf to Ctrl-C, and so would be all processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before anything reads it: what tests tokenize and fetch does not stay in the user's cache.
os.environ["SSL_ZOO_CACHE"] = tempfile.mkdtemp()
atexit.register(shutil.rmtree, os.environ["SSL_ZOO_CACHE"], ignore_errors=True)  # the system clears its folder, too

# What a map shows is tried in tests/evaluation/test_figures.py; whoever else draws one needs any map of two dimensions.
tsne = figures.tsne
figures.tsne = lambda vectors: np.pad(vectors.cpu().numpy(), ((0, 0), (0, 1)))[:, :2]

# Half the time of an evaluation went to weak penalties, with which the linear probe takes longest. That it chooses the
# best of all is tried in tests/probes/test_probes.py; whoever else evaluates a run needs a figure.
linear.PENALTIES = PENALTIES[:3]

# Tests of two processes start them from a server that has loaded the libraries and nothing else. Forking the test
# process itself would copy locks that its threads (W&B's, gloo's, OpenMP's) may hold, which now and then waits forever.
modules = [module.name for module in pkgutil.walk_packages(ssl_zoo.__path__, "ssl_zoo.")]
modules = ["tests.without_garbage", *(name for name in modules if "__main__" not in name), "lightning.pytorch.cli"]
multiprocessing.set_forkserver_preload(modules)


gc.disable()  # until all is imported


def pytest_collection_finish() -> None:
    """What is imported and collected is never garbage, and to look through it again and again takes long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)  # of what tests leave behind it is enough to look through more at once
    gc.enable()


@pytest.fixture(scope="session")
def two_processes() -> Iterator[TwoProcesses]:
    """Two ranks that compute what a test asks them to."""
    ranks = TwoProcesses()
    yield ranks
    ranks.stop()


@pytest.fixture(scope="session", params=["image", "text", "audio"])
def each_small_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A short run on a folder of every modality."""
    return small_run(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports programs of no operations: tracing an encoder takes seconds, and tests/export traces each kind."""
    nothing = torch.export.export(torch.nn.Identity(), (torch.zeros(2),))
    for name in ("_for_any_size", "_for_padded"):
        monkeypatch.setattr(program, name, lambda *_: nothing)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes, where this machine lets one be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("only the superuser can mount file systems")
    yield folder
    subprocess.run(["umount", folder], check=True)
