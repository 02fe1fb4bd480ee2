import math

import lightning as L
import pytest
import torch
from lightly.loss import SwaVLoss
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.swav import SwAV
from ssl_zoo.objectives.sinkhorn import sinkhorn
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.base import Views
from ssl_zoo.views.image import SimCLRViews
from ssl_zoo.views.multi_crop import MultiCrop


@pytest.fixture(scope="module")
def data() -> ImageData:
    data = ImageData(image_size=12, batch_size=64)
    data.setup()
    return data


def swav(views: Views | None = None, **settings) -> SwAV:
    torch.manual_seed(0)
    small = SimCLRViews(strength=0.5, crop_scale=(0.05, 0.4), blur=0.0, size=8)
    views = views or MultiCrop(SimCLRViews(strength=0.5, crop_scale=(0.4, 1.0), blur=0.0), small, 4)
    sizes = {"prototypes": 12, "projection_hidden": 16, "projection_dim": 8, "freeze_prototypes": 0.0}
    return SwAV(ResNet(10, 8, channels=1), views, **{**sizes, **settings})


def some(data: ImageData, count: int = 6) -> Batch:
    return data.train_set.__getitems__(list(range(count)))._replace(labels=None)


def fit(model: L.LightningModule, steps: int, *callbacks: L.Callback) -> None:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, ImageData(image_size=12, batch_size=64))


def cosines_of(model: SwAV, batch: Batch) -> list[torch.Tensor]:
    """Of every crop with every prototype, each crop by itself."""
    whole, local = model.make_crops(batch)
    projected = [model.projector(model.encoder(*crop).pooled) for crop in (*whole.chunk(2), *local.chunk(4))]
    return [F.normalize(z, dim=1) @ F.normalize(model.prototypes.weight, dim=1).T for z in projected]


@pytest.mark.parametrize("queue_size", [0, 10])
@torch.no_grad()
def test_the_loss_swaps_codes_between_all_pairs_of_views_in_plain_loops(data, queue_size):
    model, batch = swav(queue_size=queue_size).eval(), some(data)
    cosines = cosines_of(model, batch)
    kept = [torch.empty(0, 12)] * 2
    for number, queue in enumerate(model.queues):
        queue.push(F.normalize(torch.randn(7, 8), dim=1), torch.arange(7))
        # Three of its ten places have not been filled yet.
        kept[number] = queue.keys[queue.index >= 0] @ F.normalize(model.prototypes.weight, dim=1).T
    total, pairs = 0.0, 0
    for number in (0, 1):
        codes = sinkhorn(torch.cat([cosines[number], kept[number]]), 0.05, 3)[:6]
        for other, predicted in enumerate(cosines):
            if other != number:
                for code, row in zip(codes.tolist(), predicted.tolist(), strict=True):
                    likely = [math.exp(x / 0.1) for x in row]
                    total -= sum(q * math.log(p / sum(likely)) for q, p in zip(code, likely, strict=True))
                    pairs += 1
    assert pairs == 2 * 5 * 6
    terms = model.losses(batch)
    assert float(terms["loss"]) == pytest.approx(total / pairs, abs=1e-5)


@torch.no_grad()
def test_the_loss_is_lightlys(data):
    model, batch = swav().eval(), some(data)
    cosines = cosines_of(model, batch)
    expected = SwaVLoss(temperature=0.1, sinkhorn_iterations=3, sinkhorn_epsilon=0.05)(cosines[:2], cosines[2:])[0]
    torch.testing.assert_close(model.losses(batch)["loss"], expected, atol=1e-5, rtol=1e-5)


def test_projections_enter_the_queue_of_their_view_after_the_step_and_only_in_training(data):
    model, batch = swav(queue_size=8), some(data)
    terms = model.losses(batch)
    assert all((queue.index == -1).all() for queue in model.queues)
    terms["loss"].backward()
    model.on_after_backward()
    assert all(queue.index.tolist() == [*batch.index.tolist(), -1, -1] for queue in model.queues)
    first, second = model.queues
    assert not torch.allclose(first.keys[:6], second.keys[:6])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=1,
    )  # fmt: skip
    trainer.validate(model, data, verbose=False)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_queue_is_used_from_its_part_of_the_run_on(data, monkeypatch):
    model, seen, codes = swav(queue_size=64, queue_start=0.5), [], SwAV.assigned

    def spy(self, number, cosines):
        before = self.queues[number].index.clone()
        self.queues[number].index.fill_(-1)
        without = codes(self, number, cosines)
        self.queues[number].index.copy_(before)
        found = codes(self, number, cosines)
        seen.append(not torch.equal(without, found))
        return found

    monkeypatch.setattr(SwAV, "assigned", spy)
    fit(model, 4)
    assert seen == [False] * 4 + [True] * 4  # both views of four steps


class Lengths(L.Callback):
    """Takes the prototypes down before each step."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.seen.append(pl_module.prototypes.weight.detach().clone())


@pytest.mark.parametrize("name", ["lars", "sgd"])
def test_prototypes_have_unit_length_before_each_step_and_stand_still_at_first(name):
    kept = Lengths()
    fit(swav(freeze_prototypes=0.4, optimizer=Optimizer(name, 0.5, warmup=0.0)), 6, kept)
    for prototypes in kept.seen:
        torch.testing.assert_close(prototypes.norm(dim=1), torch.ones(12))
    moved = [not torch.allclose(a, b, atol=1e-6) for a, b in zip(kept.seen, kept.seen[1:], strict=False)]
    assert moved == [False, False, False, True, True]


@torch.no_grad()
def test_an_encoder_that_ignores_its_input_sits_at_the_chance_loss(data):
    model = swav().eval()
    torch.nn.init.zeros_(model.projector[-1].weight)
    torch.nn.init.zeros_(model.projector[-1].bias)
    assert float(model.losses(some(data))["loss"]) == pytest.approx(model.chance_loss(6), abs=1e-5)


TOY = {
    "prototypes": 64,
    "freeze_prototypes": 0.02,
    "queue_size": 0,
    "projection_hidden": 128,
    "projection_dim": 64,
    "optimizer": Optimizer(learning_rate=3e-3),
}


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    whole, broken = (SwAV(toy.encoder(), views(), **TOY) for views in (toy.views, toy.swapped))
    said = toy.train(whole, 200, [Alarms()])
    assert not any(word in message for message in said for word in ("collapsed", "same code", "at chance"))
    toy.train(broken, 100)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.1 + max(pixels, toy.learnt(broken))


class WithoutSharing(SwAV):
    """Codes are what predictions are: every example may get the same."""

    def assigned(self, number, cosines):
        return (cosines / self.epsilon).softmax(1)


def test_where_codes_do_not_share_the_batch_it_learns_nothing_and_says_so(toy):
    said = toy.train(WithoutSharing(toy.encoder(), toy.views(), **TOY), 100, [Alarms()])
    assert any("Nearly all examples have the same code" in message for message in said)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is"),
        ({"epsilon": 0.0}, "epsilon is"),
        ({"iterations": 0}, "iterations is 0"),
        ({"prototypes": 1}, "prototypes is 1"),
        ({"queue_size": -1}, "queue_size is -1"),
        ({"queue_start": 1.5}, "queue_start is 1.5"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        swav(**settings)
