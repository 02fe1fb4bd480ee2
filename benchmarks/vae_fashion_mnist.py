"""A VAE on Fashion-MNIST: how fast ssl_zoo trains it, and how well, next to Pythae on the same machine.

Everybody has Pythae's default networks for MNIST (one hidden layer of 512 in the encoder and in the decoder), 16 latent
dimensions, a Bernoulli likelihood on grey values in [0, 1], batches of 128 and Adam without weight decay.

Speed, in training images per second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in the machine's fastest precision;
- limit: ssl_zoo's networks, loss and optimizer in a bare loop on one ready-made batch, in the same precision;
- pythae: its VAE on tensors that lie in memory as floats, under its own trainer, in its own precision (float32).

Accuracy, with `--accuracy`: both train for as many epochs. Our learning rate falls from 2e-3 along a cosine, Pythae's
trainer keeps it at 1e-3, so that both have the same on average. The same code then computes the ELBO of both on the
official test set, in float32 and from the same draws. Another `--seed` moves either by about half a nat.

Pythae is needed for this benchmark alone, so it is no dependency of the project:

    uv run --with pythae python benchmarks/vae_fashion_mnist.py [--accuracy]

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from timing import DEVICE, PRECISION, WARMUP_STEPS, compare, now, train
from torch import Tensor

from ssl_zoo.data.examples import Examples
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.fashion_mnist import FashionMNIST
from ssl_zoo.decoders.image import MLPDecoder
from ssl_zoo.encoders.image import MLP
from ssl_zoo.methods.vae import VAE
from ssl_zoo.objectives.elbo import bernoulli_log_likelihood, kl_to_standard_normal
from ssl_zoo.optim import Optimizer, make_optimizer

try:
    import pythae.models
    import pythae.trainers
except ImportError as error:
    raise SystemExit("This benchmark compares with Pythae: run it with `uv run --with pythae python ...`.") from error

BATCH_SIZE, EPOCHS, LATENT_DIM = 128, 20, 16
LEARNING_RATE, PEAK_LEARNING_RATE = 1e-3, 2e-3

Network = Callable[[Tensor], Any]


def make_ours() -> VAE:
    """ssl_zoo's VAE; like Pythae's, its encoder sees the images as they are, in [0, 1]."""
    encoder = MLP([512], channels=1, image_size=28, mean=0.0, std=1.0)
    decoder = MLPDecoder(LATENT_DIM, [512], channels=1, image_size=28)
    return VAE(encoder, decoder, "bernoulli", optimizer=Optimizer("adamw", PEAK_LEARNING_RATE, 0.0, warmup=0.01))


def make_pythae() -> Any:
    """Pythae's VAE with the networks it builds when none are given."""
    config = pythae.models.VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT_DIM, reconstruction_loss="bce")
    return pythae.models.VAE(config)


class PythaeClock(pythae.trainers.training_callbacks.TrainingCallback):
    """The same clock for Pythae's trainer, whose callbacks are called after every step and at the end of an epoch."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_step_end(self, *_: Any, **__: Any) -> None:
        """Reads the clock before the first timed step and after each."""
        self.steps += 1
        if self.steps == WARMUP_STEPS:
            self.start = now()
        self.end = now()

    @property
    def rate(self) -> float:
        """Images per second."""
        return (self.steps - WARMUP_STEPS) * BATCH_SIZE / (self.end - self.start)


def train_pythae(images: Tensor, epochs: int) -> tuple[Any, float]:
    """Pythae's model after so many epochs of these images, and its images per second."""
    model, clock = make_pythae(), PythaeClock()
    with tempfile.TemporaryDirectory() as folder:
        config = pythae.trainers.BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=LEARNING_RATE,
            per_device_train_batch_size=BATCH_SIZE,
            no_cuda=DEVICE.type == "cpu",
            keep_best_on_train=True,
            seed=torch.initial_seed() % 2**32,
        )
        dataset = pythae.data.datasets.BaseDataset(images, torch.zeros(len(images)))
        trainer = pythae.trainers.BaseTrainer(model, dataset, None, config, callbacks=[clock])
        trainer.train()
    return trainer.model, clock.rate


def train_on_one_batch(data: ImageData, steps: int) -> float:
    """The arithmetic alone, in images per second."""
    model = make_ours().to(DEVICE)
    optimizer = make_optimizer(Optimizer("adamw", LEARNING_RATE, 0.0), model)
    images = data.train_set.__getitems__(list(range(BATCH_SIZE))).inputs.to(DEVICE) / 255
    for step in range(steps):
        if step == WARMUP_STEPS:
            start = now()
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            mean, log_variance = model.posterior_of(model.encoder(images).pooled)
            logits = model.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
            bound = bernoulli_log_likelihood(images, logits) - kl_to_standard_normal(mean, log_variance).sum(1)
        optimizer.zero_grad()
        (-bound.mean()).backward()
        optimizer.step()
    return (steps - WARMUP_STEPS) * BATCH_SIZE / (now() - start)


def compare_speed(data: ImageData, rounds: int, steps: int) -> dict[str, Any]:
    """Everybody's images per second, and ours in proportion to the others'."""
    steps += WARMUP_STEPS
    few = as_floats(data.train_set, min(steps * BATCH_SIZE, len(data.train_set)))
    epochs = -(-steps * BATCH_SIZE // len(few))
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: BATCH_SIZE * train(make_ours(), data, steps),
        "limit": lambda: train_on_one_batch(data, steps),
        "pythae": lambda: train_pythae(few, epochs)[1],
    }
    return compare(turns, rounds, ["pythae"])


@torch.no_grad()
def test_elbo(posterior: Network, logits: Network, images: Tensor) -> float:
    """The mean ELBO of images ``(N, 1, 28, 28)`` in nats, with one draw of the code for each.

    Args:
        posterior: gives mean and log variance of the code, each ``(N, L)``.
        logits: gives those of the pixels, ``(N, 1, 28, 28)``, for codes.
        images: in [0, 1].
    """
    mean, log_variance = posterior(images)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)).to(mean.device)
    likelihood = bernoulli_log_likelihood(images, logits(mean + (0.5 * log_variance).exp() * noise))
    return float((likelihood - kl_to_standard_normal(mean, log_variance).sum(1)).mean())


def compare_accuracy(data: ImageData, epochs: int) -> dict[str, float]:
    """The test ELBO of both after the same number of steps."""
    images = as_floats(data.train_set, len(data.train_set) // BATCH_SIZE * BATCH_SIZE)
    test = as_floats(data.test_set, len(data.test_set)).to(DEVICE)
    ours = make_ours()
    train(ours, data, epochs * (len(images) // BATCH_SIZE))
    ours.to(DEVICE).eval()
    theirs = train_pythae(images, epochs)[0].to(DEVICE).eval()

    def their_posterior(images: Tensor) -> tuple[Tensor, Tensor]:
        encoded = theirs.encoder(images)
        return encoded.embedding, encoded.log_covariance

    def their_logits(codes: Tensor) -> Tensor:
        hidden, (last, _sigmoid) = theirs.decoder.layers[0](codes), theirs.decoder.layers[1]
        return last(hidden).view(-1, 1, 28, 28)

    found = {
        "ours": test_elbo(lambda images: ours.posterior_of(ours.encoder(images).pooled), ours.decoder, test),
        "pythae": test_elbo(their_posterior, their_logits, test),
    }
    print(f"\ntest ELBO in nats after {epochs} epochs")
    for name, bound in found.items():
        print(f"{name:<28}{bound:>9.2f}")
    return found


def as_floats(examples: Examples, count: int) -> Tensor:
    """The first images in [0, 1]."""
    return examples.__getitems__(list(range(count))).inputs / 255


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="ssl_zoo's VAE next to Pythae's on Fashion-MNIST.")
    parser.add_argument("--rounds", type=int, default=5, help="turns for everybody; 0 leaves the speed out")
    parser.add_argument("--steps", type=int, default=400, help="timed steps in a turn")
    parser.add_argument("--accuracy", action="store_true", help="also train both and compare their test ELBO")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the training for --accuracy")
    parser.add_argument("--root", help="folder with Fashion-MNIST's .gz files; found or fetched when left out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    for name in ("lightning.pytorch", "pythae.trainers.base_trainer.base_trainer"):
        logging.getLogger(name).setLevel(logging.WARNING)
    torch.manual_seed(args.seed)
    data = ImageData(FashionMNIST(args.root), batch_size=BATCH_SIZE)
    data.setup()
    results: dict[str, Any] = {"device": DEVICE.type, "precision": PRECISION, "threads": torch.get_num_threads()}
    if args.rounds:
        results |= compare_speed(data, args.rounds, args.steps)
    if args.accuracy:
        results["test_elbo"] = compare_accuracy(data, args.epochs)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
