import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods import lejepa
from ssl_zoo.methods.lejepa import LeJEPA
from ssl_zoo.objectives.sigreg import random_directions, sigreg
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews, SimCLRViews
from ssl_zoo.views.multi_crop import MultiCrop

SETTINGS = {"projection_hidden": 64, "projection_dim": 16, "directions": 32}


def images(count: int = 6) -> Batch:
    pixels = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(pixels, None, None, torch.arange(count))


def directions_of(method: LeJEPA, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Those that its loss was made with."""
    used = []

    def spy(projections: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        used.append(directions)
        return sigreg(projections, directions)

    monkeypatch.setattr(lejepa, "sigreg", spy)
    method.losses(batch)
    return used[0]


@torch.no_grad()
def test_the_loss_is_a_convex_sum_of_the_views_distance_and_one_test_for_each_view(toy):
    """Other code has added SIGReg to the whole distance, or tested all views as one sample."""
    method = LeJEPA(toy.encoder(), DigitViews(), sigreg_weight=0.3, **SETTINGS).eval()
    batch = images()
    views = [method.projector(method.encoder(*view).pooled) for view in method.make_views(batch).chunk(2)]
    centre = (views[0] + views[1]) / 2
    distance = sum(float((view - centre).square().mean()) for view in views) / 2
    directions = random_directions(method._key(), 16, 32)
    tests = sum(float(sigreg(view[None], directions)) for view in views) / 2
    terms = method.losses(batch)
    assert float(terms["loss"]) == pytest.approx(0.7 * distance + 0.3 * tests, abs=1e-5)
    assert float(terms["invariance"]) == pytest.approx(distance) and float(terms["sigreg"]) == pytest.approx(tests)


@torch.no_grad()
def test_with_crops_of_two_sizes_all_are_tested_and_their_centre_is_that_of_the_large_ones():
    """Other code has left the large ones out of both terms."""
    torch.manual_seed(0)
    views = MultiCrop(SimCLRViews(crop_scale=(0.4, 1.0)), SimCLRViews(crop_scale=(0.1, 0.4), size=6), 4)
    method = LeJEPA(ResNet(10, 8, channels=1), views, sigreg_weight=0.3, **SETTINGS).eval()
    large, small = method.make_crops(images())
    crops = [method.projector(method.encoder(*view).pooled) for view in [*large.chunk(2), *small.chunk(4)]]
    centre = (crops[0] + crops[1]) / 2
    distance = sum(float((crop - centre).square().mean()) for crop in crops) / 6
    tests = sum(float(sigreg(crop[None], random_directions(method._key(), 16, 32))) for crop in crops) / 6
    assert float(method.losses(images())["loss"]) == pytest.approx(0.7 * distance + 0.3 * tests, abs=1e-5)


def test_directions_are_new_at_every_step_and_do_not_depend_on_the_examples(toy, monkeypatch):
    """What a rank has of the batch is all that it does not share with the others."""
    method = LeJEPA(toy.encoder(), DigitViews(), **SETTINGS)
    some, others = (images(8)._replace(index=torch.arange(first, first + 8)) for first in (0, 8))
    first = directions_of(method, some, monkeypatch)
    assert torch.equal(first, directions_of(method, others, monkeypatch))
    method.eval()
    assert not torch.isclose(first, held_out := directions_of(method, some, monkeypatch)).all(0).any()
    assert torch.equal(held_out, directions_of(method, some, monkeypatch))
    method.train()
    monkeypatch.setattr(LeJEPA, "global_step", 1)
    assert not torch.isclose(first, directions_of(method, some, monkeypatch)).all(0).any()


def test_both_views_have_a_gradient(toy):
    """There is neither stop-gradient nor teacher."""
    method = LeJEPA(toy.encoder(), DigitViews(), sigreg_weight=0.0, **SETTINGS)
    kept = []
    method.projector.register_forward_hook(lambda *given: kept.append(given[-1]))
    loss = method.losses(images())["loss"]
    (gradient,) = torch.autograd.grad(loss, kept)
    assert all(view.abs().sum() > 0 for view in gradient.chunk(2))


def test_it_learns_what_views_share_and_without_the_regulariser_it_collapses_and_says_so(toy):
    settings = {**SETTINGS, "projection_hidden": 128, "optimizer": Optimizer(learning_rate=3e-3)}
    whole, broken = (LeJEPA(toy.encoder(), toy.views(), sigreg_weight=weight, **settings) for weight in (0.02, 0.0))
    said = toy.train(whole, 120, [Alarms()])
    assert not any("collapsed" in each or "chance" in each or "line" in each for each in said)
    said = toy.train(broken, 100, [Alarms()])
    assert any("projections have collapsed" in each for each in said)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.15 + max(pixels, toy.learnt(broken))


@torch.no_grad()
def test_constant_projections_sit_at_the_chance_loss(toy):
    method = LeJEPA(toy.encoder(), DigitViews(), **SETTINGS).eval()
    torch.nn.init.zeros_(method.projector[-1].weight)
    torch.nn.init.zeros_(method.projector[-1].bias)
    assert float(method.losses(images())["loss"]) == pytest.approx(method.chance_loss(6))


@pytest.mark.parametrize("settings", [{"sigreg_weight": 1.5}, {"sigreg_weight": -0.1}, {"directions": 0}])
def test_numbers_out_of_their_range_are_refused(toy, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        LeJEPA(toy.encoder(), DigitViews(), **SETTINGS | settings)
