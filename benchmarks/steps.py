"""Experiments as they are, next to a bare loop over one of their batches: what does all that is around a method cost?

    uv run python benchmarks/steps.py image/data2vec image/data2vec2 audio/data2vec

For each, in steps per second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in the machine's fastest precision;
- limit: the experiment's method and optimizer in a bare loop on one ready-made batch, in the same precision.

Experiments that are named together are compared with the first of them too, limit with limit: so much longer is a step.
The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import copy
import json
import logging
import tempfile
import warnings
from statistics import median

from gpu_experiments import EXPERIMENTS, Built
from timing import DEVICE, PRECISION, WARMUP_STEPS, train, train_on_one_batch

from ssl_zoo import cli


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="Experiments next to bare loops over one of their batches.")
    parser.add_argument("experiments", nargs="+", help="such as image/mae")
    parser.add_argument("--rounds", type=int, default=3, help="turns for everybody")
    parser.add_argument("--steps", type=int, default=20, help="timed steps in a turn")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    cli.import_named()
    built = {}
    for name in args.experiments:
        with tempfile.TemporaryDirectory() as runs:
            options = ["--config", str(EXPERIMENTS / f"{name}.yaml"), "--runs_dir", runs]
            one = Built(
                ["fit", *options, "--trainer.enable_progress_bar=false", f"--trainer.accelerator={DEVICE.type}"]
            )
        one.datamodule.setup()
        built[name] = (one.model.train(), one.datamodule, next(iter(one.datamodule.train_dataloader())))
    steps = WARMUP_STEPS + args.steps
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in built}
    for _ in range(args.rounds):
        for name, (model, data, batch) in built.items():
            bare = train_on_one_batch(copy.deepcopy(model), batch._replace(labels=None), steps)
            rounds[name].append((train(copy.deepcopy(model), data, steps), bare))
    first, results = rounds[args.experiments[0]], {}
    print(f"\n{'experiment':<28}{'ours':>9}{'limit':>9}{'ratio':>9}{'a step is':>11}")
    for name, turns in rounds.items():
        longer = median(one[1] / other[1] for one, other in zip(first, turns, strict=True))
        found = {
            "ours": median(ours for ours, _ in turns),
            "limit": median(bare for _, bare in turns),
            "ratio": median(ours / bare for ours, bare in turns),
            "longer": longer,
        }
        results[name] = found
        print(f"{name:<28}{found['ours']:>9.2f}{found['limit']:>9.2f}{found['ratio']:>9.2f}{longer:>9.2f} x")
    print(json.dumps({"device": DEVICE.type, "precision": PRECISION, "steps_per_second": results}))


if __name__ == "__main__":
    main()
