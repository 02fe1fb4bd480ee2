"""Everything on one GPU in nine minutes: do all experiments run there, do they compute what a CPU does, and how fast?

Four parts, each in a process of its own with a share of the time, so that one that hangs or breaks the device takes
nothing else with it:

- experiments: every YAML of `experiments/` on made data, its loss on the GPU next to the CPU's (`gpu_experiments.py`);
- throughput: six well-known networks, through the Trainer and in a bare loop, and other libraries' same step beside
  them, in examples a second and in shares of the card's matrix rate (`gpu_throughput.py`);
- fashion: SimCLR on all of Fashion-MNIST, through the command line, with its probes;
- compiled: the six networks again with their losses compiled, as far as the time goes.

    uv run python benchmarks/gpu.py [--out FOLDER] [--root FOLDER/OF/FASHION-MNIST]

writes `gpu.json` and `gpu.md` into the folder (the environment's OUT, else `runs/gpu`). What fails is in the table with
its error, and the exit code is 1; what did not fit into the time is called skipped. `--smoke` runs the same code on
tiny networks and a CPU, in a minute, to find out whether it runs at all.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Seconds for each part; what one leaves the next ones get. Sum: the nine minutes, with time to start and to write.
SHARES = {"experiments": 140, "throughput": 150, "fashion": 110, "compiled": 125}
WHOLE = 525
FASHION_SECONDS = 15  # of training; start and probes take a minute and a half
STEPS_UNMEASURED = 500  # of Fashion-MNIST, where throughput has not said how many fit


def experiments(smoke: bool, **_: Any) -> Iterator[Row]:
    """Every experiment on this device beside a CPU."""
    from gpu_experiments import check_all

    yield from check_all(smoke)


def throughput(smoke: bool, deadline: float, **_: Any) -> Iterator[Row]:
    """The six networks, eager."""
    from gpu_throughput import measure_all

    yield from measure_all(smoke, deadline, compiled=False)


def compiled(smoke: bool, deadline: float, **_: Any) -> Iterator[Row]:
    """The six networks, compiled."""
    from gpu_throughput import measure_all

    yield from measure_all(smoke, deadline, compiled=True)


def fashion(smoke: bool, out: Path, root: Path | None, **_: Any) -> Iterator[Row]:
    """SimCLR on all of Fashion-MNIST, with its probes."""
    from ssl_zoo.cli import run

    experiment = Path(__file__).parents[1] / "experiments" / "image" / "simclr.yaml"
    options = ["fit", "--config", str(experiment), "--experiment=fashion", "--probe.ceiling=false"]
    if smoke:
        small = {"trainer.max_steps": 2, "trainer.accelerator": "cpu", "data.train_size": 200, "model.encoder.width": 8}
        options += [f"--{name}={value}" for name, value in small.items()] + ["--data.source=Digits"]
    else:
        rates = [row for row in read(out, "throughput") if row.get("how") == "Trainer" and "rate" in row]
        batch = 512
        steps = int(FASHION_SECONDS * rates[0]["rate"] / batch) if rates else STEPS_UNMEASURED
        options += [f"--data.batch_size={batch}", "--data.train_size=null", "--model.encoder.width=64"]
        options += [f"--trainer.max_steps={max(100, min(steps, 4000))}", "--trainer.log_every_n_steps=50"]
        options += [f"--data.source.root={root}"] if root else []
    began = time.perf_counter()
    run([*options, "--trainer.enable_progress_bar=false", f"--runs_dir={out / 'runs'}"])
    directory = max((out / "runs" / "fashion").iterdir(), key=lambda path: path.stat().st_mtime)
    results = json.loads((directory / "results.json").read_text())
    seconds, budget = time.perf_counter() - began, results["budget"]
    for representation, probes in results["rows"].items():
        for probe, accuracies in probes.items():
            yield {"name": representation, "probe": probe} | {
                f"{labels} labels": 100 * accuracy["mean"] for labels, accuracy in accuracies.items()
            }
    speed = {"images/s": budget["samples"] / budget["seconds"], "seconds with probes": seconds}
    yield {"name": f"{budget['samples']:,} images in {budget['seconds']:.0f} s", **speed}


PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "experiments": experiments,
    "throughput": throughput,
    "fashion": fashion,
    "compiled": compiled,
}


def read(out: Path, part: str) -> list[Row]:
    """The rows that a part has written so far."""
    path = out / f"{part}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_part(args: argparse.Namespace) -> None:
    """One part, in this process: every row is written as soon as it is known."""
    (args.out / f"{args.part}.jsonl").write_text("")
    deadline = time.monotonic() + args.limit
    with (args.out / f"{args.part}.jsonl").open("w") as file:
        for row in PARTS[args.part](smoke=args.smoke, deadline=deadline, out=args.out, root=args.root):
            print(args.part, json.dumps(row), flush=True)
            file.write(json.dumps(row) + "\n")
            file.flush()


def start_part(part: str, args: argparse.Namespace, limit: float) -> list[Row]:
    """One part in a process of its own that is ended at its limit; what it has found, and how it ended if badly."""
    command = [sys.executable, __file__, "--part", part, "--out", str(args.out), "--limit", str(limit)]
    command += ["--smoke"] * args.smoke + (["--root", str(args.root)] if args.root else [])
    # Lightning's advice and libraries' news would stand between the rows.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    try:
        _, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:  # the table says which part was cut short
        process.kill()
        process.communicate()
        return [*read(args.out, part), {"name": "the rest", "skipped": f"the part's {limit:.0f} s were over"}]
    rows = read(args.out, part)
    if process.returncode:
        last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        rows.append({"name": "the rest", "error": last})
        (args.out / f"{part}.log").write_text(errors)
    return rows


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "/").replace("\n", " ")[:160]


def table(rows: list[Row]) -> str:
    """Rows as Markdown, with a column for every key that occurs."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([cell(row.get(column)) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Reads the command line, runs the parts and writes both files."""
    parser = argparse.ArgumentParser(description="All experiments and the speed of six networks on one GPU.")
    parser.add_argument(
        "--out", type=Path, default=Path(os.environ.get("OUT", "runs/gpu")), help="folder to write into"
    )
    parser.add_argument("--root", type=Path, help="folder with Fashion-MNIST's .gz files; found or fetched if left out")
    parser.add_argument("--smoke", action="store_true", help="tiny networks, on a CPU: does this program run?")
    parser.add_argument("--part", choices=list(PARTS), help="only this one, in this process")
    parser.add_argument("--limit", type=float, default=WHOLE, help="seconds for that part")
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    carried = Path(".data/fashion-mnist")
    args.root = args.root or (carried.resolve() if carried.is_dir() else None)
    if args.part:
        run_part(args)
        return
    if not args.smoke:
        require_gpu()
    end, found = time.monotonic() + WHOLE, {}
    for position, (part, share) in enumerate(SHARES.items()):
        later = sum(list(SHARES.values())[position + 1 :])
        found[part] = start_part(part, args, max(share, end - time.monotonic() - later))
    device = device_name(args.smoke)
    (args.out / "gpu.json").write_text(json.dumps({"device": device, "smoke": args.smoke, **found}, indent=1))
    sections = [f"## {part}\n\n{table(rows)}\n" for part, rows in found.items()]
    (args.out / "gpu.md").write_text(f"# {device}\n\n" + "\n".join(sections))
    print((args.out / "gpu.md").read_text())
    sys.exit(any("error" in row for rows in found.values() for row in rows))


def require_gpu() -> None:
    """Ends with a sentence where there is none."""
    import torch

    if not torch.cuda.is_available():
        sys.exit("There is no GPU here: add --smoke to try this program on a CPU.")


def device_name(smoke: bool) -> str:
    """What was measured, and with which PyTorch."""
    import torch

    from ssl_zoo.hardware import hardware_name

    return f"{hardware_name(torch.device('cpu' if smoke else 'cuda'))}, PyTorch {torch.__version__}"


if __name__ == "__main__":
    main()
