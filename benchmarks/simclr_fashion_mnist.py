"""SimCLR on 10,000 Fashion-MNIST images: how fast ssl_zoo trains, and how well, next to lightly on the same machine.

Speed, in training images per second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer, in the machine's fastest precision;
- limit: ssl_zoo's network, loss and optimizer in a bare loop on one ready-made pair of views, in the same precision;
- lightly: its transform on PIL images in a DataLoader with 0 and with 2 workers, its head and its loss, under a plain
  Trainer in float32; the network is the same one in PyTorch's default memory format. It gets grey images and leaves
  the normalisation to the network, which costs it less than three channels and a normalisation of its own.

Accuracy, with `--accuracy`: both train for EPOCHS epochs; probes on the frozen encoders are fitted on the 10,000
images, their regularisation is chosen on the validation set, and the official test set judges, beside the raw pixels
and the untrained encoder. lightly has the settings of its own CIFAR-10 benchmark.

    uv run python benchmarks/simclr_fashion_mnist.py [--accuracy]

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import lightning as L
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.data.image import ImageData
from ssl_zoo.data.sources.fashion_mnist import FashionMNIST
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.evaluation.features import batches, estimate_batch_norm, extract, raw_inputs
from ssl_zoo.evaluation.knn import knn_predict
from ssl_zoo.evaluation.linear import fit_linear
from ssl_zoo.hardware import fastest_precision
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.objectives.contrastive import nt_xent
from ssl_zoo.optim import make_optimizer
from ssl_zoo.randomness import example_keys
from ssl_zoo.views.image import SimCLRViews

TRAIN_SIZE, BATCH_SIZE, EPOCHS = 10_000, 256, 8
HIDDEN, DIM = 512, 128  # of both projection heads
WARMUP_STEPS = 5  # not timed: more batches than a DataLoader's two workers fetch in advance

VIEWS: dict[str, Any] = {"strength": 0.5, "crop_scale": (0.2, 1.0), "blur": 0.0}
TEMPERATURE, LEARNING_RATE, WEIGHT_DECAY = 0.2, 2e-3, 1e-4

LIGHTLY_VIEWS: dict[str, Any] = {"cj_strength": 0.5, "min_scale": 0.08, "gaussian_blur": 0.0}
LIGHTLY_TEMPERATURE = 0.5
LIGHTLY_SGD: dict[str, Any] = {"lr": 0.06 * BATCH_SIZE / 128, "momentum": 0.9, "weight_decay": 5e-4}

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISION = fastest_precision()


def make_encoder() -> ResNet:
    """The network of every row; 0.286 and 0.353 are mean and standard deviation of the training pixels."""
    return ResNet(18, width=16, stem="small", channels=1, mean=0.286, std=0.353)


def make_ours() -> SimCLR:
    """ssl_zoo's SimCLR."""
    training = {"optimizer": "adamw", "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}
    return SimCLR(make_encoder(), SimCLRViews(**VIEWS), TEMPERATURE, HIDDEN, DIM, **training)


class LightlySimCLR(L.LightningModule):
    """SimCLR put together from lightly's parts, with one forward pass per view as in its examples."""

    def __init__(self) -> None:
        super().__init__()
        # torch's stubs lack a memory format without a dtype.
        self.encoder = make_encoder().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.head = SimCLRProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.criterion = NTXentLoss(LIGHTLY_TEMPERATURE)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """NT-Xent of the two views."""
        first, second = (self.head(self.encoder(view).pooled) for view in batch[0])
        return self.criterion(first, second)

    def configure_optimizers(self) -> Any:
        """SGD whose learning rate falls along a cosine."""
        optimizer = torch.optim.SGD(self.parameters(), **LIGHTLY_SGD)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


class PilImages(Dataset[Any]):
    """Two views and the label of one PIL image at a time, as a torchvision data set with lightly's transform."""

    def __init__(self, batch: Batch) -> None:
        self.images = [Image.fromarray(image[0].numpy()) for image in batch.inputs]
        self.labels = [] if batch.labels is None else batch.labels.tolist()
        self.transform = SimCLRTransform(28, normalize=None, **LIGHTLY_VIEWS)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, position: int) -> Any:
        """``((1, 28, 28), (1, 28, 28))`` views in [0, 1], and the label."""
        return self.transform(self.images[position]), self.labels[position]

    def loader(self, workers: int) -> DataLoader[Any]:
        """The loader of lightly's examples."""
        return DataLoader(self, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers)


class Clock(L.Callback):
    """Times the steps after the first WARMUP_STEPS, waiting for data included."""

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Reads the clock before the first of them and after the last."""
        if trainer.global_step == WARMUP_STEPS:
            self.start = now()
        elif trainer.global_step == trainer.max_steps:
            self.rate = (trainer.max_steps - WARMUP_STEPS) * BATCH_SIZE / (now() - self.start)


def now() -> float:
    """Seconds, when the device has done all that it was asked to do."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def train(model: L.LightningModule, data: Any, steps: int) -> float:
    """Trains for so many steps, without validation and checkpoints, and gives images per second."""
    clock, ours = Clock(), isinstance(model, SimCLR)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator=DEVICE.type,
            devices=1,
            precision=PRECISION if ours else "32-true",
            callbacks=[ExactResume(), Throughput(), clock] if ours else [clock],
            default_root_dir=folder,
            max_steps=steps,
            limit_val_batches=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, data)
    return clock.rate


def train_on_fixed_views(batch: Batch, steps: int) -> float:
    """The arithmetic alone, in images per second."""
    model = make_ours().to(DEVICE)
    optimizer = make_optimizer("adamw", model, LEARNING_RATE, WEIGHT_DECAY)
    assert model.views is not None
    views = model.views(batch.inputs.to(DEVICE), example_keys(model.noise_seed, 0, batch.index.to(DEVICE)))
    for step in range(steps):
        if step == WARMUP_STEPS:
            start = now()
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            first, second = model.projector(model.encoder(views).pooled).chunk(2)
            loss = nt_xent(first, second, TEMPERATURE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (steps - WARMUP_STEPS) * BATCH_SIZE / (now() - start)


def compare_speed(data: ImageData, images: PilImages, rounds: int, steps: int) -> dict[str, Any]:
    """Everybody's images per second, and ours in proportion to the limit and to the faster way of running lightly."""
    batch, steps = data.train_set.__getitems__(list(range(BATCH_SIZE))), WARMUP_STEPS + steps
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: train(make_ours(), data, steps),
        "limit": lambda: train_on_fixed_views(batch, steps),
        "lightly, 0 workers": lambda: train(LightlySimCLR(), images.loader(0), steps),
        "lightly, 2 workers": lambda: train(LightlySimCLR(), images.loader(2), steps),
    }
    measured = [{name: measure() for name, measure in turns.items()} for _ in range(rounds)]
    rates = {name: median(found[name] for found in measured) for name in turns}
    lightly = max("lightly, 0 workers", "lightly, 2 workers", key=lambda name: rates[name])
    ratios = {f"ours / {other}": median(r["ours"] / r[other] for r in measured) for other in ("limit", lightly)}
    print(f"\n{'images per second':<28}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, rate in rates.items():
        values = [found[name] for found in measured]
        print(f"{name:<28}{rate:>9.0f}{min(values):>9.0f}{max(values):>9.0f}")
    for name, ratio in ratios.items():
        print(f"{name:<28}{ratio:>9.2f}")
    return {"images_per_second": rates, "ratios": ratios, "rounds": measured}


def probe(represent: Callable[[Batch], Tensor], data: ImageData) -> dict[str, float]:
    """Test accuracy of the linear and the kNN probe."""
    parts = (data.train_set, data.validation_set, data.test_set)
    (bank, known), held, (test, labels) = (extract(represent, batches(part), DEVICE) for part in parts)
    assert known is not None and held.labels is not None and labels is not None
    linear = fit_linear(bank, known, (held.vectors, held.labels), len(data.classes)).predict(test)
    found = {"linear": linear, "knn": knn_predict(test, bank, known)}
    return {kind: float((predicted == labels).float().mean()) for kind, predicted in found.items()}


def compare_accuracy(data: ImageData, images: PilImages) -> dict[str, dict[str, float]]:
    """Trains both and judges their encoders beside the floors."""

    def judge(encoder: Any) -> dict[str, float]:
        encoder.to(DEVICE).eval()
        return probe(lambda batch: encoder(batch.inputs).pooled.float(), data)

    steps = EPOCHS * (len(images) // BATCH_SIZE)
    ours, lightly, untrained = make_ours(), LightlySimCLR(), make_encoder().to(DEVICE)
    train(ours, data, steps)
    train(lightly, images.loader(2), steps)
    estimate_batch_norm(untrained, batches(data.train_set), DEVICE)
    encoders = {"ours": ours.encoder, "lightly": lightly.encoder, "untrained encoder": untrained}
    rows = {name: judge(encoder) for name, encoder in encoders.items()} | {"raw pixels": probe(raw_inputs, data)}
    print(f"\n{'test accuracy in %':<28}{'linear':>9}{'kNN':>9}")
    for name, row in rows.items():
        print(f"{name:<28}{100 * row['linear']:>9.2f}{100 * row['knn']:>9.2f}")
    return rows


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="ssl_zoo's SimCLR next to lightly's on Fashion-MNIST.")
    parser.add_argument("--rounds", type=int, default=5, help="turns for everybody; 0 leaves the speed out")
    parser.add_argument("--steps", type=int, default=20, help="timed steps in a turn")
    parser.add_argument("--accuracy", action="store_true", help="also train both and compare their encoders")
    parser.add_argument("--root", help="folder with Fashion-MNIST's .gz files; found or fetched when left out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.manual_seed(args.seed)
    data = ImageData(FashionMNIST(args.root), batch_size=BATCH_SIZE, train_size=TRAIN_SIZE)
    data.setup()
    images = PilImages(data.train_set.__getitems__(list(range(TRAIN_SIZE))))
    results: dict[str, Any] = {"device": DEVICE.type, "precision": PRECISION, "threads": torch.get_num_threads()}
    if args.rounds:
        results |= compare_speed(data, images, args.rounds, args.steps)
    if args.accuracy:
        results["accuracy"] = compare_accuracy(data, images)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
