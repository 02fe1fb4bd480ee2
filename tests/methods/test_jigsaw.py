"""Jigsaw against tiles that are cut and put in order by hand, and a toy whose tiles have places of their own."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import MLP, ResNet
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.jigsaw import Jigsaw
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.tiles import Tiles, place_tiles
from tests.made import vocabulary
from tests.methods.layouts import nine_textures, smooth_noise, train

COLOURED = Batch(torch.rand(4, 3, 20, 20), None, None, torch.arange(4))


@torch.no_grad()
@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_the_loss_by_plain_loops_over_tiles_in_the_orders_that_were_drawn(grey):
    torch.manual_seed(0)
    model = Jigsaw(ResNet(10, 8), 10, 3, 4, 0.5, 0.25, resize=4, grey=grey, hidden=16).eval()
    corners, drawn = place_tiles(model.keys(COLOURED), 20, 20, Tiles(4, 2, 1)), model.drawn_orders(COLOURED)
    nats, right = [], []
    for image, places, numbers in zip(COLOURED.inputs.numpy(), corners.tolist(), drawn.tolist(), strict=True):
        image = np.repeat(image.mean(0, keepdims=True), 3, 0) if grey else image
        vectors = []
        for row, column in places:
            tile = image[:, row : row + 4, column : column + 4].copy()
            for channel in range(3):
                own, whole = tile[channel], image[channel]
                tile[channel] = (own - own.mean()) / own.std() * whole.std() + whole.mean()
            vectors.append(model.encoder(torch.from_numpy(tile)[None]).pooled[0])
        for number in numbers:
            shown = torch.cat([vectors[tile] for tile in model.orders[number].tolist()])
            scores = model.head(shown[None])[0].double()
            nats.append(math.log(sum(map(math.exp, scores.tolist()))) - float(scores[number]))
            right.append(int(scores.argmax()) == number)
    terms = model.losses(COLOURED)
    assert len(nats) == 12 and float(terms["loss"]) == pytest.approx(float(np.mean(nats)), abs=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(np.mean(right)) and float(terms["chance"]) == pytest.approx(0.1)


def test_orders_are_drawn_anew_at_every_step_and_all_of_them():
    model = Jigsaw(MLP([8], 1, 20), puzzles=2)
    batch = Batch(torch.rand(600, 1, 20, 20), None, None, torch.arange(600))
    drawn = model.drawn_orders(batch)
    assert set(drawn.flatten().tolist()) == set(range(72))
    assert (drawn[:, 0] != drawn[:, 1]).float().mean() > 0.9
    assert torch.equal(drawn[3:5], model.drawn_orders(batch._replace(index=batch.index[3:5])))


class Inverse(Jigsaw):
    """A slip: tiles are put where they belong, and not shown in the order that is asked for."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        drawn = self.drawn_orders(batch)
        unshuffled = torch.zeros_like(drawn)
        return {"loss": F.cross_entropy(self.scores(self.tiles(batch), unshuffled).flatten(0, 1), drawn.flatten())}


def small(kind: type[Jigsaw] = Jigsaw, **settings) -> Jigsaw:
    torch.manual_seed(0)
    settings = {"permutations": 9, "puzzles": 4, "patch_size": 4, "gap": 0.5, "resize": 4, "hidden": 64, **settings}
    return kind(MLP([64], image_size=4), optimizer=Optimizer(learning_rate=1e-2), **settings)


@torch.no_grad()
def accuracy(model: Jigsaw, images: Tensor) -> float:
    return float(Jigsaw.losses(model, Batch(images, None, None, torch.arange(len(images))))["accuracy"])


def test_it_learns_where_tiles_belong_and_when_they_are_not_shuffled_it_does_not():
    found = {}
    for kind in (Jigsaw, Inverse):
        train(model := small(kind), nine_textures, steps=40)
        found[kind] = accuracy(model, nine_textures(64, 99))
    assert found[Jigsaw] > 0.7 and found[Inverse] < 0.25


def test_lines_that_go_on_are_a_cue_without_gaps_and_none_with_them():
    found = {}
    for gap, jitter in ((0.0, 0.0), (0.5, 0.1)):
        train(model := small(gap=gap, jitter=jitter), smooth_noise, steps=80)
        found[gap] = accuracy(model, smooth_noise(128, 999))
    assert found[0.0] > 0.25 and found[0.5] < 0.16


@torch.no_grad()
def test_pictures_show_tiles_as_drawn_and_put_back_as_predicted():
    torch.manual_seed(0)
    settings = {"gap": 0.0, "jitter": 0.0, "resize": 3, "equalize": False, "grey": 0.0, "hidden": 8}
    model = Jigsaw(MLP([16], 1, 3), 9, patch_size=3, **settings).eval()
    images = torch.rand(6, 1, 9, 9)
    batch = Batch(images, None, None, torch.arange(6))
    right = model.drawn_orders(batch)[:, 0]
    model.scores = lambda tiles, drawn: F.one_hot(right, 9)[:, None].float()  # as if it had solved them
    rows, width, names = model.pictures(batch)["puzzles"]
    shown, shuffled, back = rows.split(width)
    assert len(names) == 3 and torch.equal(shown, images) and torch.equal(back, images)
    for image, puzzle, order in zip(images[:, 0], shuffled[:, 0], model.orders[right].tolist(), strict=True):
        for place, tile in enumerate(order):
            (row, column), (of_row, of_column) = divmod(place, 3), divmod(tile, 3)
            own = image[3 * of_row : 3 * of_row + 3, 3 * of_column : 3 * of_column + 3]
            assert torch.equal(puzzle[3 * row : 3 * row + 3, 3 * column : 3 * column + 3], own)


@torch.no_grad()
def test_an_encoder_that_ignores_its_input_has_the_chance_loss():
    model = Jigsaw(ResNet(10, 8), hidden=8)
    torch.nn.init.zeros_(model.head[3].weight)
    torch.nn.init.zeros_(model.head[3].bias)
    assert float(model.losses(COLOURED)["loss"]) == pytest.approx(math.log(72)) == pytest.approx(model.chance_loss(4))


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="Jigsaw cuts images into tiles, and BertEncoder reads texts: take"):
        Jigsaw(BertEncoder(vocabulary(20), dim=16, depth=1, heads=2))
    for settings, message in (
        ({"permutations": 1}, "permutations is 1; give a number of orders from 2 to 1512"),
        ({"permutations": 2000}, "permutations is 2000"),
        ({"puzzles": 0}, "puzzles is 0"),
        ({"grey": 2}, "grey is 2"),
        ({"jitter": 0.2}, "could overlap"),
    ):
        with pytest.raises(InputError, match=f"Jigsaw's .*{message}|{message}"):
            Jigsaw(ResNet(10, 8), **settings)
    with pytest.raises(InputError, match="set patch_size to 4 at most"):
        Jigsaw(ResNet(10, 8), patch_size=9).losses(COLOURED)
