"""metrics.csv of a run, one file however often the run was interrupted."""

import csv
import os
from pathlib import Path

from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import Log, LogWriter


class RunLog(Log):
    """Lightning's CSVLogger, which goes on in the file of a run that is resumed, and never leaves half of it.

    Args:
        directory: folder of the run.
        steps: optimizer steps after which the run goes on: what was logged of later ones is cut off, as they are done
            again; None for a new run.
    """

    def __init__(self, directory: Path, steps: int | None = None) -> None:
        super().__init__(directory.parent.parent, directory.parent.name, directory.name)
        self._steps = steps

    def make_writer(self) -> LogWriter:
        """What writes the file."""
        os.makedirs(self.root_dir, exist_ok=True)
        return _Writer(self.log_dir, self._steps)


class _Writer(LogWriter):
    def __init__(self, log_dir: str, steps: int | None) -> None:
        self._steps = steps
        super().__init__(log_dir)

    def take_up(self) -> None:
        """Keeps what is there."""
        if self._steps is None or not os.path.exists(self.metrics_file_path):
            return
        names, rows = _read(self.metrics_file_path)
        # A step's figures are logged under the number of steps before it.
        _replace(self.metrics_file_path, names, [row for row in rows if int(row["step"]) < self._steps])
        self.metrics_keys = names

    def add_columns(self, names: list[str]) -> None:
        """Writes the file anew, in one go."""
        _replace(self.metrics_file_path, names, _read(self.metrics_file_path)[1])


def _read(path: str) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the whole rows of a table; a process that was killed may have left half a row."""
    with open(path, newline="", encoding="utf-8", errors="replace") as file:  # so that one bad row costs one row
        table = csv.DictReader(file)
        names = list(table.fieldnames or [])
        if names and "step" not in names:
            raise InputError(
                f"{path} is no table of a run's figures, as it has no column of steps: move it away, and the run goes "
                "on with a new one."
            )
        rows = [row for row in table if None not in row and None not in row.values() and row["step"].isdigit()]
    return names, rows


def _replace(path: str, names: list[str], rows: list[dict[str, str]]) -> None:
    draft = f"{path}.draft"
    with open(draft, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    os.replace(draft, path)
