"""Rotation against NumPy, a toy whose images have an upper side, and slips that leave nothing to learn."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.image import MLP, ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.rotation import Rotation, turned_by
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import SimCLRViews
from tests.methods.layouts import train, with_an_upper_side


def batch(images: Tensor) -> Batch:
    return Batch(images, None, None, torch.arange(len(images)))


def noise(count: int = 5, channels: int = 3, side: int = 10) -> Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (count, channels, side, side))
    return torch.from_numpy(pixels.astype(np.uint8))


@torch.no_grad()
def test_the_loss_by_plain_loops_over_what_numpy_turns():
    torch.manual_seed(0)
    model, images = Rotation(ResNet(10, 8)).eval(), noise()
    nats, right = [], []
    for image in images.numpy():
        for turns in range(4):
            turned = np.rot90(image.transpose(1, 2, 0), turns).transpose(2, 0, 1).copy()
            vector = model.encoder(torch.from_numpy(turned)[None].float() / 255).pooled[0]
            scores = [float(weights @ vector + bias) for weights, bias in zip(*model.head.parameters(), strict=True)]
            nats.append(math.log(sum(map(math.exp, scores))) - scores[turns])
            right.append(scores.index(max(scores)) == turns)
    terms = model.losses(batch(images))
    assert float(terms["loss"]) == pytest.approx(sum(nats) / len(nats), abs=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(right) / len(right)) and float(terms["chance"]) == 0.25


@torch.no_grad()
def test_every_copy_that_views_make_is_turned_four_times():
    torch.manual_seed(0)
    model = Rotation(ResNet(10, 8), SimCLRViews()).eval()
    images = batch(noise())
    logits = [model.head(model.encoder(torch.rot90(copy[None], turns, (2, 3))).pooled)
              for turns in range(4) for copy in model.make_views(images).inputs]  # fmt: skip
    turns = torch.arange(4).repeat_interleave(10)
    assert float(model.losses(images)["loss"]) == pytest.approx(float(F.cross_entropy(torch.cat(logits), turns)))


@torch.no_grad()
def test_nothing_but_what_an_image_shows_gives_its_turn_away():
    """Interpolation would, in corners or by blur: of images that are the same turned, it makes different ones."""
    torch.manual_seed(0)
    images = noise().float() / 255
    alike = sum(images.rot90(turns, (2, 3)) for turns in range(4)) / 4
    model = Rotation(ResNet(10, 8)).eval()
    with torch.no_grad():
        model.head.weight.mul_(100)
    logits = model.head(model.encoder(torch.cat([alike.rot90(turns, (2, 3)) for turns in range(4)])).pooled)
    torch.testing.assert_close(logits.view(4, 5, 4), logits[:5].expand(4, -1, -1))
    assert float(model.losses(batch(alike))["loss"]) >= math.log(4)


class OtherOrder(Rotation):
    """A slip: turns are counted image by image, and images come turn by turn."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        turned = torch.cat([batch.inputs.rot90(turns, (2, 3)) for turns in range(4)])
        logits = self.head(self.encoder(turned).pooled)
        return {"loss": F.cross_entropy(logits, torch.arange(4).repeat(len(batch.inputs)))}


def test_it_learns_which_side_is_up_and_a_broken_version_or_images_without_one_leave_it_at_chance():
    found = {}
    for name, kind, upright in (("whole", Rotation, True), ("order", OtherOrder, True), ("sides", Rotation, False)):
        torch.manual_seed(0)
        model = kind(MLP([32], image_size=8), optimizer=Optimizer(learning_rate=1e-2))
        train(model, lambda count, seed, upright=upright: with_an_upper_side(count, seed, upright), steps=40)
        with torch.no_grad():
            found[name] = float(Rotation.losses(model, batch(with_an_upper_side(256, 99, upright)))["accuracy"])
    assert found["whole"] > 0.9 and max(found["order"], found["sides"]) < 0.4


@torch.no_grad()
def test_pictures_are_turned_back_by_what_is_predicted():
    torch.manual_seed(0)
    model = Rotation(MLP([16], channels=1, image_size=8)).eval()
    model.head.weight.zero_()
    model.head.bias.copy_(torch.tensor([0.0, 0, 1, 0]))  # half a turn, whatever it sees
    images = noise(6, 1, 8)
    rows, width, names = model.pictures(batch(images))["turned_back"]
    turned, back = rows.split(width)
    assert width == 6 and len(names) == 2 and 0 <= float(rows.min()) <= float(rows.max()) <= 1
    torch.testing.assert_close(back, turned.flip((2, 3)))
    upright = (images / 255)[:, None]
    every = torch.stack([upright[:, 0].rot90(turns, (2, 3)) for turns in range(4)], 1)
    turns = (every == turned[:, None]).flatten(2).all(2)
    assert turns.sum(1).tolist() == [1] * 6 and turns.any(0).sum() > 1  # each in one of them, and not all in the same


def test_a_quarter_turn_is_against_the_clock():
    image = torch.tensor([[1, 2], [3, 4]])[None, None]
    assert turned_by(image, torch.tensor([1])).tolist() == [[[[2, 4], [1, 3]]]]
    assert turned_by(image, torch.tensor([-1])).tolist() == [[[[3, 1], [4, 2]]]]


@torch.no_grad()
def test_an_encoder_that_ignores_its_input_has_the_chance_loss():
    model = Rotation(MLP([16], image_size=8))
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    loss = float(model.losses(batch(noise(2, 1, 8)))["loss"])
    assert loss == pytest.approx(math.log(4)) == pytest.approx(model.chance_loss(2))


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match=r"AudioResNet reads spectrograms.*: take an encoder of images"):
        Rotation(AudioResNet(10, 8))
    with pytest.raises(InputError, match="8 pixels high and 10 wide: set"):
        Rotation(ResNet(10, 8)).losses(batch(torch.rand(2, 3, 8, 10)))
