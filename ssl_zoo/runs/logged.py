"""What a run wrote into metrics.csv, by name."""

import csv
import math
from pathlib import Path

Curve = list[tuple[int, float]]  # steps and values, in the order of logging


def read_metrics(path: Path) -> dict[str, Curve]:
    """Every logged figure against the optimizer step.

    Args:
        path: a metrics.csv of Lightning's CSVLogger; figures that are logged at different times share its rows.

    Returns:
        Curves by name; values that are not finite are left out.

    Raises:
        ValueError: the file is no such table.
        OSError: the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file, strict=True)
        if "step" not in (table.fieldnames or []):
            raise ValueError("it has no column of steps")
        curves: dict[str, Curve] = {}
        try:
            for row in table:
                if None in row or None in row.values():
                    raise ValueError(f"line {table.line_num} has another number of cells than the first line")
                for name, value in row.items():
                    if value and name not in ("step", "epoch") and math.isfinite(float(value)):
                        curves.setdefault(name, []).append((int(row["step"]), float(value)))
        except csv.Error as error:
            raise ValueError(f"line {table.line_num} is no line of a table ({error})") from error
    return curves


def last_values(curves: dict[str, Curve], prefix: str) -> dict[str, float]:
    """The last value of every figure whose name begins with `prefix`, by name."""
    return {name: curve[-1][1] for name, curve in sorted(curves.items()) if name.startswith(prefix)}
