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
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.utils import batch_shuffle, batch_unshuffle, deactivate_requires_grad, update_momentum
from lightly.transforms import SimCLRTransform
from PIL import Image
from timing import DEVICE, PRECISION, WARMUP_STEPS, compare, train, train_on_one_batch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_zoo.batch import Batch
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.fashion_mnist import FashionMNIST
from ssl_zoo.data.representations import raw_inputs
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.byol import BYOL
from ssl_zoo.methods.moco import MoCo
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.optim import Optimizer
from ssl_zoo.probes.features import extract, to_device
from ssl_zoo.probes.knn import choose_vote, knn_predict
from ssl_zoo.probes.linear import fit_linear
from ssl_zoo.views import image as image_views

TRAIN_SIZE, BATCH_SIZE, EPOCHS = 10_000, 256, 8
HIDDEN, DIM = 512, 128  # of both projection heads
METHODS: dict[str, type[Method]] = {"simclr": SimCLR, "moco": MoCo, "byol": BYOL}
EXPERIMENTS = Path(__file__).parents[1] / "experiments" / "image"

LIGHTLY_VIEWS: dict[str, Any] = {"cj_strength": 0.5, "min_scale": 0.08, "gaussian_blur": 0.0}
LIGHTLY_SGD: dict[str, Any] = {"lr": 0.06 * BATCH_SIZE / 128, "momentum": 0.9, "weight_decay": 5e-4}
LIGHTLY_MOMENTUM, LIGHTLY_QUEUE = 0.99, 4096


def make_ours(method: str) -> Method:
    """The method as its experiment has it, untrained; LARS learns faster on larger batches, as lightly's SGD does."""
    experiment = yaml.safe_load((EXPERIMENTS / f"{method}.yaml").read_text())
    settings = experiment["model"]["init_args"]
    optimizer = settings.pop("optimizer")
    if optimizer["name"] == "lars":
        optimizer["learning_rate"] *= BATCH_SIZE / experiment["data"]["init_args"]["batch_size"]
    encoder, chosen = settings.pop("encoder"), settings.pop("views")
    views = getattr(image_views, chosen["class_path"])(**chosen["init_args"])
    return METHODS[method](
        ResNet(channels=1, **encoder["init_args"]), views, **settings, optimizer=Optimizer(**optimizer)
    )


class Lightly(L.LightningModule):
    """What lightly's three methods share: the network, and SGD whose learning rate falls along a cosine."""

    def __init__(self) -> None:
        super().__init__()
        encoder: Any = make_ours("simclr").encoder  # torch's stubs lack a memory format without a dtype
        self.encoder = encoder.to(memory_format=torch.contiguous_format)

    def configure_optimizers(self) -> Any:
        """See above."""
        optimizer = torch.optim.SGD([p for p in self.parameters() if p.requires_grad], **LIGHTLY_SGD)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


class LightlySimCLR(Lightly):
    """SimCLR put together from lightly's parts, with one forward pass per view as in its examples."""

    def __init__(self) -> None:
        super().__init__()
        self.head = SimCLRProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.criterion = NTXentLoss(0.5)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """NT-Xent of the two views."""
        first, second = (self.head(self.encoder(view).pooled) for view in batch[0])
        return self.criterion(first, second)


class LightlyMoCo(Lightly):
    """MoCo put together from lightly's parts: memory bank, shuffled keys, both views as queries."""

    def __init__(self) -> None:
        super().__init__()
        self.head = MoCoProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.key_encoder, self.key_head = deepcopy(self.encoder), deepcopy(self.head)
        deactivate_requires_grad(self.key_encoder)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(0.1, memory_bank_size=(LIGHTLY_QUEUE, DIM))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """InfoNCE against the memory bank, both ways."""
        update_momentum(self.encoder, self.key_encoder, LIGHTLY_MOMENTUM)
        update_momentum(self.head, self.key_head, LIGHTLY_MOMENTUM)
        first, second = batch[0]
        return (self.contrast(first, second) + self.contrast(second, first)) / 2

    def contrast(self, query_view: Tensor, key_view: Tensor) -> Tensor:
        """One way."""
        queries = self.head(self.encoder(query_view).pooled)
        with torch.no_grad():
            shuffled, order = batch_shuffle(key_view)
            keys = batch_unshuffle(self.key_head(self.key_encoder(shuffled).pooled), order)
        return self.criterion(queries, keys)


class LightlyBYOL(Lightly):
    """BYOL put together from lightly's parts."""

    def __init__(self) -> None:
        super().__init__()
        self.head = BYOLProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.predictor = BYOLPredictionHead(DIM, HIDDEN, DIM)
        self.target_encoder, self.target_head = deepcopy(self.encoder), deepcopy(self.head)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_head)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The negative cosine, both ways."""
        update_momentum(self.encoder, self.target_encoder, LIGHTLY_MOMENTUM)
        update_momentum(self.head, self.target_head, LIGHTLY_MOMENTUM)
        first, second = (self.predictor(self.head(self.encoder(view).pooled)) for view in batch[0])
        with torch.no_grad():
            first_target, second_target = (self.target_head(self.target_encoder(view).pooled) for view in batch[0])
        return (self.criterion(first, second_target) + self.criterion(second, first_target)) / 2


LIGHTLY: dict[str, type[Lightly]] = {"simclr": LightlySimCLR, "moco": LightlyMoCo, "byol": LightlyBYOL}


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


def train_on_fixed_views(model: Method, batch: Batch, steps: int) -> float:
    """The arithmetic alone, in images per second."""
    views = model.to(DEVICE).make_views(to_device(batch, DEVICE))
    model.make_views = lambda batch: views  # type: ignore[method-assign]  # of this object alone: the cost of views is left out
    return BATCH_SIZE * train_on_one_batch(model, batch, steps)


def compare_speed(method: str, data: ImageData, images: PilImages, rounds: int, steps: int) -> dict[str, Any]:
    """Everybody's images per second, and ours in proportion to the limit and to the faster way of running lightly."""
    batch, steps = data.train_set.__getitems__(list(range(BATCH_SIZE))), WARMUP_STEPS + steps
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: BATCH_SIZE * train(make_ours(method), data, steps),
        "limit": lambda: train_on_fixed_views(make_ours(method), batch, steps),
        "lightly, 0 workers": lambda: BATCH_SIZE * train(LIGHTLY[method](), images.loader(0), steps),
        "lightly, 2 workers": lambda: BATCH_SIZE * train(LIGHTLY[method](), images.loader(2), steps),
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
    ours, lightly, untrained = make_ours(method), LIGHTLY[method](), make_ours(method).encoder
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
    parser.add_argument("--method", choices=list(METHODS), default="simclr")
    parser.add_argument("--rounds", type=int, default=5, help="turns for everybody; 0 leaves the speed out")
    parser.add_argument("--steps", type=int, default=20, help="timed steps in a turn")
    parser.add_argument("--accuracy", action="store_true", help="also train both and compare their encoders")
    parser.add_argument("--root", help="folder with Fashion-MNIST's .gz files; found or fetched when left out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.manual_seed(args.seed)
    data = ImageData(FashionMNIST(args.root), batch_size=BATCH_SIZE, train_size=TRAIN_SIZE)
    data.setup()
    images = PilImages(data.train_set.__getitems__(list(range(TRAIN_SIZE))))
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
