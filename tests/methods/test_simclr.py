import math

import pytest
import torch

from ssl_zoo.data.image import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.evaluation.knn import knn_predict
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.objectives.contrastive import nt_xent
from ssl_zoo.optim import make_optimizer
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


def one_shot_accuracy(model: SimCLR, data: ImageData) -> float:
    model.eval()
    train, test = (part.__getitems__(list(range(len(part)))) for part in (data.train_set, data.test_set))
    with torch.no_grad():
        bank, queries = model.represent(train), model.represent(test)
    first = torch.cat([(train.labels == label).nonzero()[:3, 0] for label in range(10)])
    predicted = knn_predict(queries, bank[first], train.labels[first], neighbours=1)
    return float((predicted == test.labels).float().mean())


def train(model: SimCLR, data: ImageData, broken: bool) -> None:
    """Two hundred steps; the broken version's positives are another image's views, as after a slip in the indices."""
    optimizer = make_optimizer("adamw", model, 4e-3, 1e-4)
    model.train()
    for step in range(200):
        start = step * 128 % (len(data.train_set) - 128)
        batch = data.train_set.__getitems__(list(range(start, start + 128)))
        keys = model.keys(batch._replace(index=batch.index + 10_000 * step))
        first, second = model.projector(model.encoder(model.views(batch.inputs, keys)).pooled).chunk(2)
        loss = nt_xent(first, second.roll(1, 0) if broken else second, 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_it_learns_digits_without_labels_and_a_broken_version_does_not(data):
    whole, broken = method(), method()
    train(whole, data, broken=False)
    train(broken, data, broken=True)
    assert one_shot_accuracy(whole, data) > one_shot_accuracy(broken, data) + 0.15


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
    validation = model.make_views(batch)
    assert torch.equal(validation, model.make_views(batch))
    model.train()
    assert not torch.equal(validation, model.make_views(batch))
