import pytest
import torch
from lightly.loss import BarlowTwinsLoss

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.errors import InputError
from ssl_zoo.methods.barlow_twins import BarlowTwins
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews

TOY = {"projection_hidden": 128, "projection_dim": 64, "optimizer": Optimizer(learning_rate=3e-3)}


@torch.no_grad()
def test_the_loss_is_lightlys_of_the_projected_views(toy):
    method = BarlowTwins(toy.encoder(), DigitViews(), 0.02, 32, 16).eval()
    pixels = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = Batch(pixels, None, None, torch.arange(6))
    views = [method.projector(method.encoder(*view).pooled) for view in method.make_views(batch).chunk(2)]
    assert float(method.losses(batch)["loss"]) == pytest.approx(float(BarlowTwinsLoss(0.02)(*views)), abs=1e-5)


def test_it_learns_what_views_share_and_without_its_second_term_all_dimensions_say_the_same(toy):
    whole, broken = (BarlowTwins(toy.encoder(), toy.views(), weight, **TOY) for weight in (0.02, 0.0))
    said = toy.train(whole, 120, [Alarms()])
    assert not any("chance" in each or "line" in each for each in said)
    said = toy.train(broken, 100, [Alarms()])
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert any("lie on a line" in each for each in said)
    assert toy.learnt(whole) > max(0.2 + pixels, 0.1 + toy.learnt(broken))


def test_views_of_different_images_leave_it_at_chance(toy):
    method = BarlowTwins(toy.encoder(), toy.swapped(), 0.02, **TOY)
    assert any("sits at chance" in each for each in toy.train(method, 100, [Alarms()]))


def test_a_negative_weight_is_refused(toy):
    with pytest.raises(InputError, match="redundancy_weight"):
        BarlowTwins(toy.encoder(), DigitViews(), -1.0, 16, 16)
