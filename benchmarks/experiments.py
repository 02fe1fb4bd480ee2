"""Any experiments on their own data: how much of the speed of a bare loop over one batch is left in a whole run?

In steps per second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in the machine's fastest precision;
- limit: the method's arithmetic and its optimizer in a bare loop on one ready-made batch, in the same precision.

    uv run python benchmarks/experiments.py image/mae audio/simmim [--steps 40] [--rounds 3]

Options after `--` are those of `ssl-zoo fit` and hold for all of them. The last line is everything as JSON. A ratio is
the median over rounds of the ratio within a round.
"""

import argparse
import copy
import json
import tempfile

from gpu_experiments import EXPERIMENTS, Built
from timing import compare, train, train_on_one_batch

from ssl_zoo import cli


def measure(name: str, options: list[str], steps: int, rounds: int) -> dict[str, object]:
    """Steps per second of one experiment, whole and bare."""
    with tempfile.TemporaryDirectory() as runs:
        built = Built(["fit", "--config", str(EXPERIMENTS / f"{name}.yaml"), *options, "--runs_dir", runs])
    model, data = built.model, built.datamodule
    data.setup()
    batch = next(iter(data.train_dataloader()))._replace(labels=None)
    print(f"\n{name}")
    turns = {
        "ours": lambda: train(copy.deepcopy(model).train(), data, steps),
        "limit": lambda: train_on_one_batch(copy.deepcopy(model).train(), batch, steps),
    }
    return compare(turns, rounds, ["limit"], "steps")


def main() -> None:
    """Prints a table for every experiment, and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", help="such as image/mae")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    chosen, options = parser.parse_known_args()
    cli.import_named()
    print(json.dumps({name: measure(name, options, chosen.steps, chosen.rounds) for name in chosen.experiments}))


if __name__ == "__main__":
    main()
