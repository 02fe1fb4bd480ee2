"""Every method ends with results on two processes, as on one: methods are found, none is listed."""

import json

import pytest
import torch
import torch.distributed as dist
import yaml

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import alone, leave_group, world_size
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.probing.flops import training_flops
from ssl_zoo.views.image import DigitViews
from tests.contracts.test_experiments import EXPERIMENTS, fit_on_two

# Backwards: of several experiments the one with the shortest name, the method's own, is the last and stays.
OWN = {yaml.safe_load(path.read_text())["model"]["class_path"]: path for path in reversed(EXPERIMENTS)}
# Its loss gathers, and it is quick: the others take minutes together and show the same.
FAST = "SimCLR"


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=name, marks=[] if name == FAST else pytest.mark.slow) for name, path in OWN.items()]
)
def test_a_run_on_two_processes_ends_with_results(path, tmp_path):
    options = ["--trainer.max_steps=2", "--probe_after_fit=true", "--probe.draws=1", "--probe.labels_per_class=[1]"]
    directory = fit_on_two(path, tmp_path, *options)  # raises unless both processes end with exit code 0
    results = json.loads((directory / "results.json").read_text())
    assert results["rows"] and results["budget"]["steps"] == 2 and results["budget"]["flops"] > 0


def count_on_rank_0(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    method = SimCLR(ResNet(10, 8, channels=1), DigitViews(), projection_hidden=32, projection_dim=16)
    batch = Batch(torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8), None, None, torch.arange(4))
    if rank == 0:  # the other process is in no collective that this one could meet it in
        assert world_size() == 2 and training_flops(method, batch) > 0
        with alone():
            assert world_size() == 1
        assert world_size() == 2
    dist.barrier()
    leave_group()
    assert world_size() == 1


def test_flops_are_counted_by_one_process_of_a_group(tmp_path):
    torch.multiprocessing.start_processes(count_on_rank_0, (str(tmp_path),), nprocs=2, start_method="forkserver")
