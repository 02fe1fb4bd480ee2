"""Which method, for this data and this budget? Trains several experiments and prints one table of their probes.

Every experiment is run as `ssl-zoo fit --config experiments/image/NAME.yaml` would, one after the other, and judged by
the same probes on the same splits; the floors are the same for all, so each is shown once. The table is printed as
Markdown, ready for a README.

    uv run python benchmarks/image_methods.py [--experiments simclr moco byol vae] [-- --trainer.max_steps 100 ...]

What follows `--` is given to every run.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from ssl_zoo.cli import run

ROOT = Path(__file__).parents[1]
FLOORS = ("untrained encoder", "raw inputs")


def fit(name: str, runs: Path, options: list[str]) -> dict[str, Any]:
    """Runs an experiment and gives its results.json."""
    before = set(runs.glob("*/*/results.json"))
    config = ROOT / "experiments" / "image" / f"{name}.yaml"
    run(["fit", "--config", str(config), "--runs_dir", str(runs), "--probe.ceiling=false", *options])
    (created,) = set(runs.glob("*/*/results.json")) - before
    return json.loads(created.read_text())


def row(title: str, cost: str, probes: dict[str, Any]) -> str:
    """A line of the table."""
    linear = [f"{100 * found['mean']:.1f}" for found in probes["linear"].values()]
    return f"| {title} | {cost} | {' | '.join(linear)} | {100 * probes['knn']['all']['mean']:.1f} |"


def table(results: list[dict[str, Any]]) -> str:
    """The table in Markdown: a line a method, then the floors."""
    labels = list(results[0]["rows"]["raw inputs"]["linear"])
    lines = [f"| | seconds | {' | '.join(labels)} | kNN, all |", "|---" * (len(labels) + 3) + "|"]
    for found in results:
        lines.append(row(found["method"], f"{found['budget']['seconds']:.0f}", found["rows"][found["method"]]))
    lines += [row(floor, "", results[0]["rows"][floor]) for floor in FLOORS]
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, trains and prints."""
    parser = argparse.ArgumentParser(description="Several methods on the same images, in one table.")
    parser.add_argument("--experiments", nargs="+", default=["simclr", "moco", "byol", "vae"], metavar="NAME")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"))
    parser.add_argument("options", nargs="*", help="after --, given to every run")
    args = parser.parse_args()
    results = [fit(name, args.runs_dir, args.options) for name in args.experiments]
    splits = {found["data"]["split"] for found in results}
    assert len(splits) == 1, "the runs have different data and cannot be compared"
    print(table(results))


if __name__ == "__main__":
    main()
