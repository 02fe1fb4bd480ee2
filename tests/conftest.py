"""What pytest needs before it knows its tests; the rest is in `tests/prepared.py`."""

from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepares whoever runs tests: to hand them to workers nothing is needed that takes seconds to import.

    Coverage begins in a worker no earlier than this, and what is imported before has lines that seem never to run.
    """
    config = session.config
    if not config.pluginmanager.hasplugin("dsession"):  # of pytest-xdist, which by now has said whether there are any
        config.pluginmanager.import_plugin("tests.prepared")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keeps together what tests prepare once."""
    if config.getoption("dist") != "loadscope":
        return None  # something else is asked for
    from tests.workers import TogetherScheduling

    return TogetherScheduling(config, log)
