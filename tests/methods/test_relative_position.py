"""Relative position against patches that are cut by hand, and toys with and without something to learn."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods.relative_position import RelativePosition
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.tiles import Tiles, place_tiles
from tests.methods.layouts import nine_textures, smooth_noise, train

COLOURED = Batch(torch.rand(4, 3, 20, 20), None, None, torch.arange(4))


def head_by_hand(model: RelativePosition, pair: Tensor) -> Tensor:
    first, norm, _, last = model.head
    hidden = first.weight @ pair
    hidden = (hidden - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    return last.weight @ hidden.clamp(min=0) + last.bias


@torch.no_grad()
def test_the_loss_by_plain_loops_over_patches_cut_by_hand():
    torch.manual_seed(0)
    model = RelativePosition(ResNet(10, 8), patch_size=4, resize=4, drop_channels=False, hidden=16).eval()
    for statistics in (model.head[1].running_mean, model.head[1].running_var):
        statistics.uniform_(0.5, 1)
    corners = place_tiles(model.keys(COLOURED), 20, 20, Tiles(4, 2, 1))
    nats, right = [], []
    for image, places in zip(COLOURED.inputs.numpy(), corners.tolist(), strict=True):
        patches = []
        for row, column in places:
            patch = image[:, row : row + 4, column : column + 4].copy()
            for channel in range(3):
                own, whole = patch[channel], image[channel]
                patch[channel] = (own - own.mean()) / own.std() * whole.std() + whole.mean()
            patches.append(model.encoder(torch.from_numpy(patch)[None]).pooled[0])
        for label, place in enumerate([0, 1, 2, 3, 5, 6, 7, 8]):
            scores = head_by_hand(model, torch.cat([patches[4], patches[place]])).double()
            nats.append(math.log(sum(map(math.exp, scores.tolist()))) - float(scores[label]))
            right.append(int(scores.argmax()) == label)
    terms = model.losses(COLOURED)
    assert float(terms["loss"]) == pytest.approx(float(np.mean(nats)), abs=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(np.mean(right)) and float(terms["chance"]) == 0.125


class Shuffled(RelativePosition):
    """A slip: places are counted pair by pair for all images in turn."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.scores(self.patches(batch)).flatten(0, 1)
        return {"loss": F.cross_entropy(logits, torch.arange(8).repeat_interleave(len(batch.inputs)))}


def small(kind: type[RelativePosition] = RelativePosition, side: int = 4, **settings) -> RelativePosition:
    torch.manual_seed(0)
    encoder = MLP([64], image_size=side)
    settings = {"patch_size": side, "resize": side, "hidden": 64, **settings}
    return kind(encoder, optimizer=Optimizer(learning_rate=1e-2), **settings)


@torch.no_grad()
def accuracy(model: RelativePosition, images: Tensor) -> float:
    batch = Batch(images, None, None, torch.arange(len(images)))
    return float(RelativePosition.losses(model, batch)["accuracy"])


def test_it_learns_where_things_lie_and_with_places_in_another_order_it_does_not():
    found = {}
    for kind in (RelativePosition, Shuffled):
        train(model := small(kind), nine_textures, steps=40)
        found[kind] = accuracy(model, nine_textures(64, 99))
    assert found[RelativePosition] > 0.6 and found[Shuffled] < 0.25


def test_lines_that_go_on_are_a_cue_without_gaps_and_none_with_them():
    """The images are noise of which neighbouring pixels share some, the same everywhere: there is nothing to know."""
    found = {}
    for gap, jitter in ((0.0, 0.0), (0.5, 0.1)):
        train(model := small(gap=gap, jitter=jitter), smooth_noise, steps=80)
        found[gap] = accuracy(model, smooth_noise(128, 999))
    assert found[0.0] > 0.25 and found[0.5] < 0.16


def test_brightness_is_a_cue_until_it_is_the_same_in_all_patches():
    found = {}
    for equalize in (False, True):
        train(model := small(equalize=equalize), lit_from_a_corner, steps=60)
        found[equalize] = accuracy(model, lit_from_a_corner(128, 999))
    assert found[False] > 0.5 and found[True] < 0.16


def lit_from_a_corner(count: int, seed: int) -> Tensor:
    """Noise whose brightness rises to the right and, faster, downwards, and nothing else."""
    noise = 0.05 * torch.rand(count, 1, 20, 20, generator=torch.Generator().manual_seed(seed))
    step = torch.arange(20) // 6 / 20  # flat within a patch, or its slope would be a cue
    return noise + step + 3 * step[:, None]


def test_shifted_colours_are_a_cue_until_channels_are_dropped():
    """Red is shifted outwards against green, as by a lens."""
    found = {}
    for drop in (False, True):
        torch.manual_seed(0)
        model = RelativePosition(MLP([64], 3, 4), 4, resize=4, drop_channels=drop, hidden=64,
                                 optimizer=Optimizer(learning_rate=1e-2))  # fmt: skip
        train(model, through_a_lens, steps=60, count=48)
        found[drop] = accuracy(model, through_a_lens(128, 999))
    assert found[False] > 0.3 and found[True] < 0.16


def through_a_lens(count: int, seed: int) -> Tensor:
    noise = torch.rand(count, 22, 22, generator=torch.Generator().manual_seed(seed))
    outwards = torch.tensor([0] * 7 + [1] * 6 + [2] * 7)  # on the left red is one pixel to the left of green
    place = torch.arange(20) + outwards
    red, green = noise[:, place][:, :, place], noise[:, 1:21, 1:21]
    return torch.stack([red, green, green], 1)


@torch.no_grad()
def test_pictures_show_pairs_where_they_lie_and_where_they_are_predicted():
    torch.manual_seed(0)
    model = RelativePosition(MLP([16], 1, 3), 3, gap=0.0, jitter=0.0, resize=3, equalize=False, hidden=8).eval()
    model.head[3].weight.zero_()
    model.head[3].bias.copy_(F.one_hot(torch.tensor(7), 8))  # always at the lower right
    images = torch.rand(6, 1, 9, 9)
    rows, width, names = model.pictures(Batch(images, None, None, torch.arange(6)))["positions"]
    shown, true, predicted = rows.split(width)
    assert len(names) == 3 and torch.equal(shown, images)
    seen = true != 0.5
    assert (seen.flatten(1).sum(1) == 18).all() and torch.equal(true[seen], images[seen])
    assert len({tuple(each) for each in seen.flatten(1).tolist()}) > 1
    assert torch.equal(predicted[..., 3:6, 3:6], images[..., 3:6, 3:6])
    assert (predicted[..., 6:, 6:] != 0.5).all() and (predicted[..., :3, :] == 0.5).all()


@torch.no_grad()
def test_an_encoder_that_ignores_its_input_has_the_chance_loss_and_any_encoder_can_read_patches():
    for encoder, resize in ((MLP([8], 3, 20), None), (ViT(20, 4, dim=16, depth=1, heads=2), None), (ResNet(10, 8), 4)):
        model = RelativePosition(encoder, resize=resize, hidden=8)
        torch.nn.init.zeros_(model.head[3].weight)
        torch.nn.init.zeros_(model.head[3].bias)
        loss = float(model.losses(COLOURED)["loss"])
        assert loss == pytest.approx(math.log(8)) == pytest.approx(model.chance_loss(4))


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match=r"RelativePosition cuts images into patches, and AudioResNet reads.*: take"):
        RelativePosition(AudioResNet(10, 8))
    with pytest.raises(InputError, match=r"RelativePosition's jitter is 0\.4"):
        RelativePosition(ResNet(10, 8), jitter=0.4)
    with pytest.raises(InputError, match="set patch_size to 4 at most"):
        RelativePosition(ResNet(10, 8), patch_size=9).losses(COLOURED)
