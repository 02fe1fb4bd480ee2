"""What the benchmarks share: a Trainer with nothing but training in it, its clock, and the table of rates."""

import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import lightning as L
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.refits import Refits
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.hardware import fastest_precision
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import make_optimizer
from ssl_zoo.probes.features import to_device

WARMUP_STEPS = 5  # not timed: more batches than a DataLoader's two workers fetch in advance
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISION = fastest_precision()


def now() -> float:
    """Seconds, when the device has done all that it was asked to do."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(L.Callback):
    """Times the steps after the first WARMUP_STEPS, waiting for data included."""

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Reads the clock before the first of them and after the last."""
        if trainer.global_step == WARMUP_STEPS:
            self.start = now()
        elif trainer.global_step == trainer.max_steps:
            self.steps_per_second = (trainer.max_steps - WARMUP_STEPS) / (now() - self.start)


def train(model: L.LightningModule, data: Any, steps: int, precision: Any = PRECISION) -> float:
    """Trains for so many steps, without validation and checkpoints, and gives steps per second.

    A method of ssl_zoo gets the machine's fastest precision, unless another is given, and the callbacks that the
    command line always adds, a model of somebody else a plain Trainer in float32.
    """
    clock, ours = Clock(), isinstance(model, Method)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator=DEVICE.type,
            devices=1,
            precision=precision if ours else "32-true",
            callbacks=[Refits(), ExactResume(), Throughput(), clock] if ours else [clock],
            default_root_dir=folder,
            max_steps=steps,
            limit_val_batches=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, data)
    return clock.steps_per_second


def train_on_one_batch(model: Method, batch: Batch, steps: int) -> float:
    """The method's arithmetic alone, in a bare loop over one batch; steps per second in the fastest precision."""
    model.to(DEVICE)
    optimizer = make_optimizer(model.optimizer, model)
    batch = to_device(batch, DEVICE)
    start = 0.0
    for step in range(steps):
        if step == WARMUP_STEPS:
            start = now()
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            loss = model.losses(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        model.on_after_backward()
        optimizer.step()
        model.after_step()
    return (steps - WARMUP_STEPS) / (now() - start)


def compare(
    turns: dict[str, Callable[[], float]], rounds: int, peers: list[str], unit: str = "images"
) -> dict[str, Any]:
    """Measures everybody's images per second in turns, and prints them with ours in proportion to others'.

    Args:
        turns: each gives images per second; one is called "ours" and one "limit", others may begin with "ours".
        rounds: how often everybody has a turn.
        peers: of `turns`; all of ours are compared with the fastest of them, "ours" with the limit too.
        unit: what is counted in place of images.
    """
    measured = [{name: measure() for name, measure in turns.items()} for _ in range(rounds)]
    rates = {name: median(found[name] for found in measured) for name in turns}
    fastest = max(peers, key=lambda name: rates[name])
    pairs = [("ours", "limit"), *((name, fastest) for name in turns if name.startswith("ours"))]
    ratios = {f"{one} / {other}": median(r[one] / r[other] for r in measured) for one, other in pairs}
    print(f"\n{unit + ' per second':<28}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, rate in rates.items():
        values = [found[name] for found in measured]
        print(f"{name:<28}{rate:>9.0f}{min(values):>9.0f}{max(values):>9.0f}")
    for name, ratio in ratios.items():
        print(f"{name:<28}{ratio:>9.2f}")
    return {f"{unit}_per_second": rates, "ratios": ratios, "rounds": measured}
