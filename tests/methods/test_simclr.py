import math

import pytest
import torch

from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.objectives.contrastive import nt_xent
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews


@pytest.fixture(scope="module")
def data() -> ImageData:
    data = ImageData(image_size=12)
    data.setup()
    return data


def method() -> SimCLR:
    torch.manual_seed(0)
    views = DigitViews(degrees=20, translate=0.15, scale=(0.7, 1.3), shear=25, gain=0.7, noise=0.2)
    return SimCLR(ResNet(10, 8, channels=1), views, projection_hidden=64, projection_dim=32)


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    settings = {"temperature": 0.2, "projection_hidden": 128, "projection_dim": 64}
    settings["optimizer"] = Optimizer(learning_rate=3e-3)
    whole, broken = (SimCLR(toy.encoder(), views(), **settings) for views in (toy.views, toy.swapped))
    said = toy.train(whole, 200, [Alarms()])
    assert not any("chance" in message or "collapsed" in message for message in said)
    assert any("sits at chance" in message for message in toy.train(broken, 200, [Alarms()]))
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.2 + max(pixels, toy.learnt(broken))


def test_the_loss_is_nt_xent_of_the_projected_views(data):
    model = method().eval()
    batch = data.train_set.__getitems__(list(range(6)))._replace(labels=None)
    terms = model.losses(batch)
    views = model.views(batch.inputs, model.keys(batch))
    z = [model.projector(model.encoder(view).pooled) for view in views.chunk(2)]
    torch.testing.assert_close(terms["loss"], nt_xent(*z, 0.5))
    cosine = torch.nn.functional.cosine_similarity(torch.cat(z)[:, None], torch.cat(z)[None], dim=2)
    hits = [int(cosine[i].index_fill(0, torch.tensor([i]), -2).argmax()) == (i + 6) % 12 for i in range(12)]
    assert float(terms["accuracy"]) == pytest.approx(sum(hits) / 12)


def test_an_encoder_that_ignores_its_input_sits_at_the_chance_loss():
    model = method()
    same = torch.ones(8, 5)
    assert float(nt_xent(same, same, 0.5)) == pytest.approx(model.chance_loss(8)) == pytest.approx(math.log(15))


def test_validation_draws_the_same_views_every_time_and_training_others(data):
    model = method()
    batch = data.train_set.__getitems__([1, 2])
    model.eval()
    validation = model.make_views(batch).inputs
    assert torch.equal(validation, model.make_views(batch).inputs)
    model.train()
    assert not torch.equal(validation, model.make_views(batch).inputs)
