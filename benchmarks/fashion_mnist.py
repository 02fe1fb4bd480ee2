"""A method on 10,000 Fashion-MNIST images: how fast ssl_zoo trains it, and how well, next to lightly on this machine.

Speed, in training images per second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer, in the machine's fastest precision;
- limit: ssl_zoo's networks, loss and optimizer in a bare loop on one ready-made pair of views, in the same precision;
- lightly: its transform on PIL images in a DataLoader with 0 and with 2 workers, its heads and its loss, under a plain
  Trainer in float32; the network is the same one in PyTorch's default memory format. It gets grey images and leaves
  the normalisation to the network, which costs it less than three channels and a normalisation of its own.

Accuracy, with `--accuracy`: both train for EPOCHS epochs; probes on the frozen encoders are fitted on the 10,000
images, their regularisation is chosen on the validation set, and they are evaluated on the official test set, beside
the raw pixels and the untrained encoder. Ours has the settings of experiments/image/, lightly those of its own CIFAR-10
benchmark.

    uv run python benchmarks/fashion_mnist.py --method moco [--accuracy]

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import lightly_methods
import torch
import yaml
from gpu_experiments import EXPERIMENTS, Built
from PIL import Image
from timing import DEVICE, PRECISION, WARMUP_STEPS, compare, train, train_on_one_batch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_zoo import cli
from ssl_zoo.batch import Batch
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.fashion_mnist import FashionMNIST
from ssl_zoo.data.representations import raw_inputs
from ssl_zoo.methods.base import Method
from ssl_zoo.probes.features import extract, to_device
from ssl_zoo.probes.knn import choose_vote, knn_predict
from ssl_zoo.probes.linear import fit_linear

TRAIN_SIZE, BATCH_SIZE, EPOCHS = 10_000, 256, 8


def make_ours(method: str) -> Method:
    """The method as its experiment has it, untrained; LARS learns faster on larger batches, as lightly's SGD does."""
    return deepcopy(_built(method))


@cache
def _built(method: str) -> Method:
    path = EXPERIMENTS / "image" / f"{method}.yaml"
    with tempfile.TemporaryDirectory() as runs:
        options = ["--config", str(path), "--runs_dir", runs, "--trainer.enable_progress_bar=false"]
        model = Built(["fit", *options, f"--trainer.accelerator={DEVICE.type}"]).model
    if model.optimizer.name == "lars":
        larger = BATCH_SIZE / yaml.safe_load(path.read_text())["data"]["init_args"]["batch_size"]
        model.optimizer = replace(model.optimizer, learning_rate=larger * model.optimizer.learning_rate)
    return model


def make_lightly(method: str) -> lightly_methods.Lightly:
    """The same method of lightly on the same network."""
    return lightly_methods.METHODS[method](make_ours(method).encoder)


class PilImages(Dataset[Any]):
    """The views and the label of one PIL image at a time, as a torchvision data set with lightly's transform."""

    def __init__(self, method: str, batch: Batch) -> None:
        self.images = [Image.fromarray(image[0].numpy()) for image in batch.inputs]
        self.labels = [] if batch.labels is None else batch.labels.tolist()
        self.transform = lightly_methods.transform(method)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, position: int) -> Any:
        """The views, ``(1, 28, 28)`` or smaller, in [0, 1], and the label."""
        return self.transform(self.images[position]), self.labels[position]

    def loader(self, workers: int) -> DataLoader[Any]:
        """The loader of lightly's examples."""
        return DataLoader(self, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers)


def train_on_fixed_views(model: Method, batch: Batch, steps: int) -> float:
    """The arithmetic alone, in images per second."""
    crops = model.to(DEVICE).make_crops(to_device(batch, DEVICE))
    # Of this object alone: the cost of views is left out.
    model.make_crops = lambda batch: crops
    model.make_views = lambda batch: crops[0]
    return BATCH_SIZE * train_on_one_batch(model, batch, steps)


def compare_speed(method: str, data: ImageData, images: PilImages, rounds: int, steps: int) -> dict[str, Any]:
    """Everybody's images per second, and ours in proportion to the limit and to the faster way of running lightly."""
    batch, steps = data.train_set.__getitems__(list(range(BATCH_SIZE))), WARMUP_STEPS + steps
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: BATCH_SIZE * train(make_ours(method), data, steps),
        "limit": lambda: train_on_fixed_views(make_ours(method), batch, steps),
        "lightly, 0 workers": lambda: BATCH_SIZE * train(make_lightly(method), images.loader(0), steps),
        "lightly, 2 workers": lambda: BATCH_SIZE * train(make_lightly(method), images.loader(2), steps),
    }
    return compare(turns, rounds, ["lightly, 0 workers", "lightly, 2 workers"])


def probe(represent: Callable[[Batch], Tensor], data: ImageData) -> dict[str, float]:
    """Test accuracy of the linear and the kNN probe."""
    parts = (data.train_set, data.validation_set, data.test_set)
    (bank, known), held, (test, labels) = (extract(represent, part, DEVICE) for part in parts)
    assert known is not None and held.labels is not None and labels is not None
    validation = held.vectors, held.labels
    linear, _ = fit_linear(bank, known, len(data.classes), validation)
    vote = choose_vote(bank, known, validation)
    found = {"linear": linear.predict(test), "knn": knn_predict(test, bank, known, *vote)}
    return {kind: float((predicted == labels).float().mean()) for kind, predicted in found.items()}


def compare_accuracy(method: str, data: ImageData, images: PilImages) -> dict[str, dict[str, float]]:
    """Trains both and evaluates their encoders beside the baselines."""

    def evaluate(encoder: Any) -> dict[str, float]:
        encoder.to(DEVICE).eval()
        return probe(lambda batch: encoder(batch.inputs).pooled.float(), data)

    steps = EPOCHS * (len(images) // BATCH_SIZE)
    ours, lightly, untrained = make_ours(method), make_lightly(method), make_ours(method).encoder
    train(ours, data, steps)
    train(lightly, images.loader(2), steps)
    encoders = {"ours": ours.encoder, "lightly": lightly.encoder, "untrained encoder": untrained}
    rows = {name: evaluate(encoder) for name, encoder in encoders.items()} | {"raw pixels": probe(raw_inputs, data)}
    print(f"\n{'test accuracy in %':<28}{'linear':>9}{'kNN':>9}")
    for name, row in rows.items():
        print(f"{name:<28}{100 * row['linear']:>9.2f}{100 * row['knn']:>9.2f}")
    return rows


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="A method of ssl_zoo next to lightly's on Fashion-MNIST.")
    parser.add_argument("--method", choices=list(lightly_methods.METHODS), default="simclr")
    parser.add_argument("--rounds", type=int, default=5, help="turns for everybody; 0 leaves the speed out")
    parser.add_argument("--steps", type=int, default=20, help="timed steps in a turn")
    parser.add_argument("--accuracy", action="store_true", help="also train both and compare their encoders")
    parser.add_argument("--root", help="folder with Fashion-MNIST's .gz files; found or fetched when left out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    cli.import_named()
    _built(args.method)  # which takes the seed of the experiment
    torch.manual_seed(args.seed)
    data = ImageData(FashionMNIST(args.root), batch_size=BATCH_SIZE, train_size=TRAIN_SIZE)
    data.setup()
    images = PilImages(args.method, data.train_set.__getitems__(list(range(TRAIN_SIZE))))
    results: dict[str, Any] = {
        "method": args.method,
        "device": DEVICE.type,
        "precision": PRECISION,
        "threads": torch.get_num_threads(),
    }
    if args.rounds:
        results |= compare_speed(args.method, data, images, args.rounds, args.steps)
    if args.accuracy:
        results["accuracy"] = compare_accuracy(args.method, data, images)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
