"""How fast six well-known networks train, in examples a second and in shares of what the device multiplies matrices at.

A share is the network's floating-point operations, forward and backward as `FlopCounterMode` counts them on ready-made
views, over time and the device's rate: that of its data sheet (dense bfloat16), and that of one large product of
matrices measured in the same run, which is what this card can do today.

"Trainer" is a Lightning Trainer with the callbacks that the command line always adds, on batches in main memory; "bare"
is the method's loss, its gradient and the optimizer in a loop over one batch on the device, views included; "ready
views" leaves them out; "compiled" is bare with the loss, or where that does not trace the views alone, compiled. Clocks
are read when the device has finished, outside of the timed steps.
"""

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gpu_peers
import lightning as L
import torch
from gpu_networks import Network, networks
from timing import WARMUP_STEPS, train
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.compiled_views import CompiledForward
from ssl_zoo.hardware import hardware_name
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import make_optimizer
from ssl_zoo.probes.features import to_device

# Dense bfloat16 of vendors' data sheets, operations per second, by a part of the name that CUDA gives the card.
DATA_SHEETS = {"H100 80GB HBM3": 989e12, "H200": 989e12, "A100": 312e12}
SECONDS = 3.0  # of timed steps
COMPILING = 60  # seconds that must be left to begin with compiling a network
VIEWS = "compiled views"  # a row of the table


class Steps(NamedTuple):
    """How a thing is timed: seconds of timed steps, and the most of them."""

    seconds: float
    most: int


def measure_all(smoke: bool, deadline: float, compiled: bool) -> Iterator[dict[str, Any]]:
    """A row for every network and way of training it, until the time is over."""
    device = torch.device("cpu" if smoke else "cuda")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = not smoke
    measured, sheet = matmul_rate(device, smoke), data_sheet(hardware_name(device))
    yield {"name": "product of bfloat16 matrices", "TFLOP/s": measured / 1e12, "data sheet": sheet and sheet / 1e12}
    limits = Steps(0.1, 2) if smoke else Steps(SECONDS, 300)
    ways_of = compiled_ways if compiled else eager_ways
    ways = [(network, *way) for network in networks(smoke) for way in ways_of(network, device, limits).items()]
    ways.sort(key=lambda way: way[1] == VIEWS)  # last, as a network takes most of a minute to compile and gains most
    operations: dict[str, float] = {}
    for network, how, rate in ways:
        row: dict[str, Any] = {"name": network.name, "how": how}
        if time.monotonic() > deadline - (COMPILING if compiled and not smoke else 10):
            yield row | {"skipped": "no time is left"}
            continue
        try:
            torch.manual_seed(0)
            steps = rate()
            row |= {"rate": steps * network.units, "unit": f"{network.unit}/s", "ms per step": 1000 / steps}
            if not how.startswith(gpu_peers.PREFIXES):
                if network.name not in operations:
                    operations[network.name] = count_operations(network, device)
                rate_reached = operations[network.name] * steps
                row["GFLOP per step"] = operations[network.name] / 1e9
                row["share of measured"] = rate_reached / measured
                row["share of data sheet"] = rate_reached / sheet if sheet else None
                if device.type == "cuda":
                    row["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
        except Exception as error:  # goes into the table; the others run all the same
            row["error"] = f"{type(error).__name__}: {error}"
        gc.collect()  # a Trainer and its model refer to each other
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        yield row


def eager_ways(network: Network, device: torch.device, limits: Steps) -> dict[str, Callable[[], float]]:
    """Steps per second through the Trainer, in a bare loop, without views, and of other libraries."""
    ways: dict[str, Callable[[], float]] = {
        "Trainer": lambda: through_trainer(network, device, limits),
        "bare": lambda: rate_of(bare(network.method(), network.batch(), device), device, limits),
    }
    if network.method().views is not None:
        ways["ready views"] = lambda: rate_of(
            bare(with_ready_views(network, device), network.batch(), device), device, limits
        )
    for name, peer in network.peers.items():
        ways[name] = lambda peer=peer: rate_of(peer(network.batch(), device), device, limits)
    return ways


def compiled_ways(network: Network, device: torch.device, limits: Steps) -> dict[str, Callable[[], float]]:
    """Steps per second of the compiled loss, and of compiled views."""
    backend = "inductor" if device.type == "cuda" else "aot_eager"  # a smoke test only traces

    def loss() -> float:
        torch._dynamo.reset()
        method = network.method()
        if method.views is not None:
            method = with_ready_views(network, device)
        compiled = torch.compile(method.losses, backend=backend, dynamic=False, fullgraph=True)
        method.losses = compiled  # type: ignore[method-assign]  # of this object alone
        return rate_of(bare(method, network.batch(), device), device, limits)

    def views() -> float:
        torch._dynamo.reset()
        method = network.method()
        assert method.views is not None
        forward = CompiledForward(method.views, backend)
        method.views.forward = forward  # type: ignore[method-assign]  # of this object alone
        rate = rate_of(bare(method, network.batch(), device), device, limits)
        if forward.compiled is forward.plain:
            raise RuntimeError("the views were not compiled")
        return rate

    ready = network.method().views is not None
    return {"compiled, ready views" if ready else "compiled": loss} | ({VIEWS: views} if ready else {})


def bare(method: Method, batch: Batch, device: torch.device) -> Callable[[], Any]:
    """One training step on a batch that lies on the device."""
    method.to(device).train()
    optimizer = make_optimizer(method.optimizer, method)
    batch = to_device(batch, device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = method.losses(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        method.on_after_backward()
        optimizer.step()
        method.after_step()

    return step


def with_ready_views(network: Network, device: torch.device) -> Method:
    """The method, whose views are always the same, made once."""
    method = network.method().to(device).train()
    views = method.make_views(to_device(network.batch(), device))
    method.make_views = lambda batch: views  # type: ignore[method-assign]  # of this object alone: the cost of views is left out
    return method


def rate_of(step: Callable[[], Any], device: torch.device, limits: Steps) -> float:
    """Steps per second, as many as fit into the seconds, after some that are not timed."""

    def timed(steps: int) -> float:
        wait(device)
        start = time.perf_counter()
        for _ in range(steps):
            step()
        wait(device)
        return (time.perf_counter() - start) / steps

    timed(1 if device.type == "cpu" else WARMUP_STEPS)
    return 1 / timed(max(2, min(limits.most, int(limits.seconds / timed(1)))))


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Repeated(Dataset[Batch]):
    """One batch in main memory, over and over."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        """Of an epoch."""
        return 10_000

    def __getitem__(self, position: int) -> Batch:
        """The batch."""
        return self.batch


def through_trainer(network: Network, device: torch.device, limits: Steps) -> float:
    """Steps per second under a Trainer, the batch copied to the device at every step."""
    batch = network.batch()
    if device.type == "cuda":  # as a loader hands it over
        batch = batch._replace(inputs=batch.inputs.pin_memory(), index=batch.index.pin_memory())
    guess = rate_of(bare(network.method(), batch, device), device, Steps(0.1, 5))
    data = L.LightningDataModule()
    loader = DataLoader(Repeated(batch), batch_size=None)
    data.train_dataloader = lambda: loader  # type: ignore[method-assign]  # of this object alone
    steps = WARMUP_STEPS + max(2, min(limits.most, int(limits.seconds * guess)))
    return train(network.method(), data, steps, "bf16-mixed")


def count_operations(network: Network, device: torch.device) -> float:
    """Floating-point operations of the networks in a step, forward and backward, without views."""
    method = network.method().to(device).train() if not network.method().views else with_ready_views(network, device)
    batch = to_device(network.batch(), device)
    with FlopCounterMode(display=False) as counter, torch.autocast(device.type, torch.bfloat16):
        method.losses(batch)["loss"].backward()
    return float(counter.get_total_flops())


def matmul_rate(device: torch.device, smoke: bool) -> float:
    """Operations per second of a large product of bfloat16 matrices."""
    side = 512 if smoke else 8192
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 * rate_of(lambda: one @ other, device, Steps(1.0, 200))


def data_sheet(name: str) -> float | None:
    """The card's rate by its data sheet, where it is known."""
    return next((rate for part, rate in DATA_SHEETS.items() if part in name), None)
