"""Every method ends with results on two processes, as on one: methods are found, none is listed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import find_free_network_port

import ssl_zoo.evaluation.probe
from ssl_zoo.batch import Batch
from ssl_zoo.distributed import alone, leave_group, world_size
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.flops import training_flops
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.runs.logged import read_metrics
from ssl_zoo.views.image import DigitViews
from tests.contracts.experiments import OWN, fit, fit_as_rank, fit_on_two, small

# Its loss gathers, and it is quick: the others take minutes together and show the same.
FAST = "SimCLR"


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=name, marks=[pytest.mark.slow] * (name != FAST)) for name, path in sorted(OWN.items())],
)
def test_a_run_on_two_processes_ends_with_results(path, two_processes, tmp_path):
    options = ["--trainer.max_steps=2", "--probe_after_fit=true", "--probe.draws=1", "--probe.labels_per_class=[1]",
               "--probe.layers=false"]  # fmt: skip
    directory = fit_on_two(two_processes, path, tmp_path / "runs", *options)  # raises unless both end well
    results = json.loads((directory / "results.json").read_text())
    assert results["rows"] or results["translation"]  # pairs have no classes to probe
    assert results["budget"]["steps"] == 2 and results["budget"]["flops"] > 0


def fit_and_fail_to_evaluate(rank: int, port: int, path: Path, runs: Path, *options: str) -> None:
    def refuse(*_: Any) -> None:
        raise InputError("The run cannot be evaluated.")

    ssl_zoo.evaluation.probe.load_run = refuse  # with which evaluation begins
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank))
    fit_as_rank(path, runs, *options)


def test_a_failure_while_the_first_process_evaluates_holds_up_no_other(tmp_path):
    runs = tmp_path / "runs"
    small(OWN[FAST], runs)  # writes the data, once for both
    # They end with exit codes, and so they are two of their own.
    arguments = (find_free_network_port(), OWN[FAST], runs, "--trainer.max_steps=2", "--probe_after_fit=true")
    processes = torch.multiprocessing.start_processes(
        fit_and_fail_to_evaluate, arguments, nprocs=2, join=False, start_method="forkserver"
    ).processes
    for process in processes:
        process.join(200)
    assert [process.exitcode for process in processes] == [1, 0]


@pytest.mark.parametrize("examples", [2048, pytest.param(60, marks=pytest.mark.slow)])
def test_what_is_logged_is_that_of_one_process_on_the_same_examples(examples, two_processes, tmp_path):
    # 143 validation examples in batches of 8: the two processes share a last one of 7, and one of them has it twice.
    options = ["--data.validation_fraction=0.0995", "--trainer.limit_val_batches=1.0", "--trainer.max_steps=2"]
    # As good as no training, so that the encoders are the same to the last digit.
    options += ["--trainer.precision=32-true", "--model.optimizer.name=sgd", "--model.optimizer.learning_rate=1e-12"]
    options.append(f"--health.examples={examples}")
    one = fit(OWN[FAST], tmp_path / "one" / "runs", *options)
    two = fit_on_two(two_processes, OWN[FAST], tmp_path / "two" / "runs", *options)
    alone, shared = (read_metrics(directory / "metrics.csv") for directory in (one, two))
    assert len(alone["train/loss"]) == 2  # of the whole batch too, where each of them has the loss of a part
    for ours, theirs in zip(shared["train/loss"], alone["train/loss"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for name in ("health/rank", "health/std", "health/uniformity", "health/alignment"):
        assert shared[name][-1] == pytest.approx(alone[name][-1], rel=1e-4), name
    for name in ("probe/knn", "probe/linear"):  # a rounding error may turn one example's class
        assert shared[name][-1] == pytest.approx(alone[name][-1], abs=1.5 / 143), name


def count_on_rank_0() -> None:
    dist.init_process_group("gloo")
    method = SimCLR(ResNet(10, 8, channels=1), DigitViews(), projection_hidden=32, projection_dim=16)
    batch = Batch(torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8), None, None, torch.arange(4))
    if dist.get_rank() == 0:  # the other process is in no collective that this one could meet it in
        assert world_size() == 2 and training_flops(method, batch) > 0
        with alone():
            assert world_size() == 1
        assert world_size() == 2
    dist.barrier()
    leave_group()
    assert world_size() == 1


def test_flops_are_counted_by_one_process_of_a_group(two_processes):
    two_processes(count_on_rank_0)
