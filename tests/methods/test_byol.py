import lightning as L
import pytest
import torch
from torch import nn

from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.byol import BYOL
from ssl_zoo.methods.simsiam import SimSiam
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.spread import feature_std
from ssl_zoo.parts.teacher import Teacher
from ssl_zoo.views.image import DigitViews


@pytest.fixture(scope="module")
def data() -> ImageData:
    data = ImageData(image_size=12, batch_size=128)
    data.setup()
    return data


def byol(**settings) -> BYOL:
    torch.manual_seed(0)
    settings = {"momentum": 0.9, "projection_hidden": 64, "projection_dim": 32, **settings}
    return BYOL(ResNet(10, 8, channels=1), DigitViews(), optimizer=Optimizer(learning_rate=4e-3), **settings)


def simsiam() -> SimSiam:
    torch.manual_seed(0)
    return SimSiam(ResNet(10, 8, channels=1), DigitViews(), projection_dim=64, prediction_hidden=16)


def fit(model: L.LightningModule, steps: int) -> None:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, ImageData(image_size=12, batch_size=128))


class Collapsing(BYOL):
    """Neither predictor nor stop-gradient: both views are pulled to each other."""

    def losses(self, batch):
        first, second = (self.projector(self.encoder(*view).pooled) for view in self.make_views(batch).chunk(2))
        return {
            "loss": 2 - 2 * nn.functional.cosine_similarity(first, second).mean(),
            "std": feature_std(first.detach()),
        }


@torch.no_grad()
def test_the_loss_is_the_squared_distance_of_unit_vectors_both_ways(data):
    model = byol().eval()
    batch = data.train_set.__getitems__(list(range(6)))._replace(labels=None)
    views = model.make_views(batch).chunk(2)
    predicted = [model.predictor(model.projector(model.encoder(*view).pooled)) for view in views]
    targets = [model.target_projector(model.target_encoder(*view).pooled) for view in views]
    total = 0.0
    for q, z in ((predicted[0], targets[1]), (predicted[1], targets[0])):
        for i in range(6):
            total += float((q[i] / q[i].norm() - z[i] / z[i].norm()).square().sum()) / 6
    assert float(model.losses(batch)["loss"]) == pytest.approx(total, abs=1e-5)


def test_no_gradient_reaches_the_target_and_the_optimizer_does_not_know_it():
    model = byol()
    fit(model, 1)
    known = {id(p) for group in model.optimizers(use_pl_optimizer=False).param_groups for p in group["params"]}
    for target in (model.target_encoder, model.target_projector):
        assert all(p.grad is None and id(p) not in known for p in target.parameters())
    assert all(id(p) in known for p in [*model.encoder.parameters(), *model.predictor.parameters()])


def test_the_target_follows_on_the_cosine_schedule_over_the_run(monkeypatch):
    seen = []
    follow = Teacher.follow

    def spy(self, progress):
        seen.append(self.momentum(progress))
        follow(self, progress)

    monkeypatch.setattr(Teacher, "follow", spy)
    fit(byol(), 10)
    momenta = seen[::2]
    assert momenta == seen[1::2] and len(momenta) == 10
    expected = [1 - 0.1 * (torch.tensor(torch.pi * step / 10).cos().item() + 1) / 2 for step in range(12)]
    # Within the half step that Lightning's counter may be ahead.
    assert all(low - 1e-6 <= m <= high + 1e-6 for low, m, high in zip(expected, momenta, expected[1:], strict=False))


TOY = {"momentum": 0.9, "projection_hidden": 128, "projection_dim": 64, "optimizer": Optimizer(learning_rate=3e-3)}


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    whole, broken = (BYOL(toy.encoder(), views(), **TOY) for views in (toy.views, toy.swapped))
    assert not any("collapsed" in message for message in toy.train(whole, 400, [Alarms()]))
    toy.train(broken, 400)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.15 + max(pixels, toy.learnt(broken))


def test_without_predictor_and_stop_gradient_its_projections_collapse_and_the_run_says_so(toy):
    said = toy.train(Collapsing(toy.encoder(), toy.views(), **TOY), 400, [Alarms()])
    assert sum("projections have collapsed" in message for message in said) == 1


@torch.no_grad()
def test_simsiams_loss_in_plain_loops(data):
    model = simsiam().eval()
    batch = data.train_set.__getitems__(list(range(6)))._replace(labels=None)
    z = [model.projector(model.encoder(*view).pooled) for view in model.make_views(batch).chunk(2)]
    p = [model.predictor(each) for each in z]
    total = 0.0
    for i in range(6):
        total -= float(p[0][i] @ z[1][i] / p[0][i].norm() / z[1][i].norm()) / 2
        total -= float(p[1][i] @ z[0][i] / p[1][i].norm() / z[0][i].norm()) / 2
    assert float(model.losses(batch)["loss"]) == pytest.approx(total / 6, abs=1e-5)


@torch.no_grad()
def test_simsiam_is_byol_whose_target_has_momentum_zero(data):
    torch.manual_seed(0)
    model = byol()
    twin = simsiam()
    twin.encoder, twin.projector, twin.predictor = model.encoder, model.projector, model.predictor
    twin.noise_seed.copy_(model.noise_seed)
    model.eval(), twin.eval()
    for copy, original in ((model.target_encoder, model.encoder), (model.target_projector, model.projector)):
        copy.module.load_state_dict(original.state_dict())
    batch = data.train_set.__getitems__(list(range(6)))._replace(labels=None)
    torch.testing.assert_close(model.losses(batch)["loss"], 4 + 4 * twin.losses(batch)["loss"])


def test_simsiam_learns_what_views_share_and_a_broken_version_does_not(toy):
    settings = {"projection_dim": 128, "prediction_hidden": 32, "optimizer": Optimizer("sgd", 0.1)}
    whole, broken = (SimSiam(toy.encoder(), views(), **settings) for views in (toy.views, toy.swapped))
    assert not any("collapsed" in message for message in toy.train(whole, 400, [Alarms()]))
    toy.train(broken, 400)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.1 + max(pixels, toy.learnt(broken))
