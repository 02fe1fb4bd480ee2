"""Which tests run on the same worker, those of a file and those of a method with its experiments, and which first."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from xdist.scheduler import LoadScopeScheduling

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


class TogetherScheduling(LoadScopeScheduling):
    """Keeps together what tests prepare once.

    The plugin's own groups are marks that it writes into the names of tests, which pytest from 9.2 on does not take.
    """

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test: contract tests are named after a method or an experiment."""
        file, _, parameter = nodeid.removesuffix("]").partition("[")
        file = file.split("::")[0]
        return _methods().get(parameter, file) if "/contracts/" in file else file

    def _assign_work_unit(self, node: Any) -> None:
        """The group with the fewest tests comes first, where the plugin takes that with the most.

        Tests that train or evaluate a run are few in a file and seconds each, those of a single function many and
        milliseconds each: with these at the end, no worker is left alone with minutes of work.
        """
        fewest = min(self.workqueue, key=lambda group: len(self.workqueue[group]))
        self.workqueue.move_to_end(fewest, last=False)
        super()._assign_work_unit(node)


@cache
def _methods() -> dict[str, str]:
    """The method of every experiment and, by its own name, of itself."""
    settings = {path: yaml.load(path.read_text(), yaml.CSafeLoader) for path in EXPERIMENTS.rglob("*.yaml")}
    by_path = {path: found["model"]["class_path"] for path, found in settings.items() if "model" in found}
    by_name = {str(path.relative_to(EXPERIMENTS)): method for path, method in by_path.items()}
    return by_name | {method: method for method in by_path.values()}
