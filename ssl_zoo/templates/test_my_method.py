"""Tests of the method: `python -m pytest test_my_method.py`."""

import math

import torch
from my_method import MyMethod

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.randomness import uniform


def made(images: int = 32) -> tuple[MyMethod, Batch]:
    """The method with a small encoder, and images that are bright on top."""
    torch.manual_seed(0)
    inputs = torch.rand(images, 1, 16, 16) * torch.linspace(1, 0, 16)[:, None]
    return MyMethod(ResNet(10, 8, channels=1)), Batch(inputs, None, None, torch.arange(images))


def test_the_loss_is_that_of_its_equation() -> None:
    """Computed again, image by image."""
    method, batch = made()
    turns = (4 * uniform(method.keys(batch))).long().tolist()
    turned = [image.rot90(number, (1, 2)) for image, number in zip(batch.inputs, turns, strict=True)]
    shares = method.head(method.encoder(torch.stack(turned)).pooled).softmax(1).tolist()
    total = -sum(math.log(share[number]) for share, number in zip(shares, turns, strict=True))
    assert math.isclose(float(method.losses(batch)["loss"].detach()), total / len(turns), rel_tol=1e-4)


def test_the_same_examples_have_the_same_loss() -> None:
    """Nothing is drawn from anywhere but the examples' keys."""
    method, batch = made()
    assert torch.equal(method.losses(batch)["loss"], method.losses(batch)["loss"])


def test_gradients_reach_every_parameter() -> None:
    """Those of the encoder and of the head."""
    method, batch = made()
    method.losses(batch)["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_it_learns() -> None:
    """Which side of an image is bright is easily learnt."""
    method, batch = made()
    optimizer = torch.optim.AdamW(method.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        method.losses(batch)["loss"].backward()
        optimizer.step()
    assert float(method.losses(batch)["loss"].detach()) < 0.5
