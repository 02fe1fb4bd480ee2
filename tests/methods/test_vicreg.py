import pytest
import torch
from lightly.loss import VICRegLoss

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.errors import InputError
from ssl_zoo.methods.vicreg import VICReg
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews

TOY = {"projection_hidden": 128, "projection_dim": 64, "optimizer": Optimizer(learning_rate=3e-3)}


def images(count: int = 6) -> Batch:
    pixels = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(pixels, None, None, torch.arange(count))


@torch.no_grad()
def test_the_loss_is_lightlys_of_the_projected_views(toy):
    method = VICReg(toy.encoder(), DigitViews(), 10.0, 20.0, 3.0, 32, 16).eval()
    views = [method.projector(method.encoder(*view).pooled) for view in method.make_views(images()).chunk(2)]
    expected = VICRegLoss(lambda_param=10, mu_param=20, nu_param=3)(*views)
    assert float(method.losses(images())["loss"]) == pytest.approx(float(expected), abs=1e-5)


def test_it_learns_what_views_share_and_without_the_variance_term_it_collapses_and_says_so(toy):
    whole, broken = (VICReg(toy.encoder(), toy.views(), variance_weight=weight, **TOY) for weight in (25.0, 0.0))
    said = toy.train(whole, 120, [Alarms()])
    assert not any("collapsed" in each or "chance" in each or "line" in each for each in said)
    said = toy.train(broken, 100, [Alarms()])
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert any("projections have collapsed" in each for each in said)
    assert toy.learnt(whole) > 0.15 + max(pixels, toy.learnt(broken))


def test_without_the_covariance_term_all_dimensions_say_the_same(toy):
    method = VICReg(toy.encoder(), toy.views(), covariance_weight=0.0, **TOY)
    said = toy.train(method, 100, [Alarms()])
    assert any("lie on a line" in each for each in said)


@torch.no_grad()
def test_constant_projections_sit_at_the_chance_loss(toy):
    method = VICReg(toy.encoder(), DigitViews(), projection_hidden=32, projection_dim=16).eval()
    torch.nn.init.zeros_(method.projector[-1].weight)
    assert float(method.losses(images())["loss"]) == pytest.approx(method.chance_loss(6))


@pytest.mark.parametrize("name", ["invariance_weight", "variance_weight", "covariance_weight"])
def test_a_negative_weight_is_refused(toy, name):
    with pytest.raises(InputError, match=name):
        VICReg(toy.encoder(), DigitViews(), projection_hidden=16, projection_dim=16, **{name: -1.0})
