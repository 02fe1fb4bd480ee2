from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from torch.nn import functional as F

from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.methods.moco import MoCo
from ssl_zoo.methods.moco_v3 import MoCoV3
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews


@pytest.fixture(scope="module")
def data() -> ImageData:
    data = ImageData(image_size=12, batch_size=128)
    data.setup()
    return data


def views() -> DigitViews:
    return DigitViews(degrees=20, translate=0.15, scale=(0.7, 1.3), shear=25, gain=0.7, noise=0.2)


def method(**settings) -> MoCo:
    torch.manual_seed(0)
    settings = {"momentum": 0.9, "queue_size": 512, "projection_hidden": 64, "projection_dim": 32, **settings}
    return MoCo(ResNet(10, 8, channels=1), views(), optimizer=Optimizer(learning_rate=4e-3), **settings)


def version_3() -> MoCoV3:
    torch.manual_seed(0)
    vit = ViT(image_size=12, patch_size=3, dim=32, depth=2, heads=2, channels=1, freeze_patches=True)
    return MoCoV3(
        vit, views(), momentum=0.9, projection_hidden=64, projection_dim=32, optimizer=Optimizer(learning_rate=2e-3)
    )


def fit(model: L.LightningModule, steps: int, **settings) -> None:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        callbacks=[ExactResume()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(model, ImageData(image_size=12, batch_size=128))


def projections(model: MoCo, batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    views = model.make_views(batch).chunk(2)
    queries = [F.normalize(model.projector(model.encoder(*view).pooled), dim=1) for view in views]
    keys = [F.normalize(model.key_projector(model.key_encoder(*view).pooled), dim=1) for view in views]
    return queries, keys


def info_nce(model: MoCo, queries, keys, index) -> float:
    total = 0.0
    for query, key, example in zip(queries, keys, index.tolist(), strict=True):
        scores = [float(query @ key)]
        for negative, owner in zip(model.queue.keys, model.queue.index.tolist(), strict=True):
            if owner != example:
                scores.append(float(query @ negative))
        total -= float(torch.tensor(scores).div(model.temperature).log_softmax(0)[0])
    return total / len(queries)


@pytest.mark.parametrize("symmetric", [False, True])
@torch.no_grad()
def test_the_loss_is_info_nce_against_the_queue_in_plain_loops(data, symmetric):
    model = method(symmetric=symmetric, queue_size=20).eval()
    batch = data.train_set.__getitems__(list(range(6)))._replace(labels=None)
    model.queue.push(F.normalize(torch.randn(8, 32), dim=1), torch.tensor([0, 1, 2, 3, 900, 901, 902, 903]))
    (first, second), (first_keys, second_keys) = projections(model, batch)
    expected = info_nce(model, first, second_keys, batch.index)
    if symmetric:
        expected = (expected + info_nce(model, second, first_keys, batch.index)) / 2
    assert float(model.losses(batch)["loss"]) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_a_queue_longer_than_the_data_never_offers_an_images_own_earlier_key_as_a_negative(data):
    model = method().eval()
    batch = data.train_set.__getitems__(list(range(6)))._replace(labels=None)
    model.queue.keys[:6], model.queue.index[:6] = projections(model, batch)[1][1], batch.index
    held = model.losses(batch)["loss"]
    model.queue.index[:6] = 10**6
    assert float(model.losses(batch)["loss"]) > float(held) + 0.01


def test_keys_enter_the_queue_after_the_step_and_only_in_training(data):
    model = method()
    batch = data.train_set.__getitems__(list(range(8)))._replace(labels=None)
    start = model.queue.keys.clone()
    losses = model.losses(batch)
    assert torch.equal(model.queue.keys, start)
    losses["loss"].backward()
    model.on_after_backward()
    assert sorted(model.queue.index.tolist())[-8:] == sorted(batch.index.tolist())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=2, limit_test_batches=2,
    )  # fmt: skip
    trainer.validate(model, ImageData(image_size=12, batch_size=128), verbose=False)
    trainer.test(model, ImageData(image_size=12, batch_size=128), verbose=False)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_queue_fills_with_every_batch_and_the_key_encoder_lags_behind():
    model = method()
    fit(model, 3)
    assert int((model.queue.index >= 0).sum()) == 3 * 128 and int(model.queue.pointer) == 3 * 128
    lag = (model.encoder.conv1.weight - model.key_encoder.module.conv1.weight).abs().max()
    assert lag > 0
    fit(model, 3)
    assert int(model.queue.pointer) == 6 * 128 % 512


def test_copies_move_once_an_optimizer_step_not_once_a_batch(monkeypatch):
    moves = []
    monkeypatch.setattr(MoCo, "after_step", lambda self: moves.append(self.global_step))
    fit(method(), 3, accumulate_grad_batches=2)
    assert len(moves) == 3


def test_the_key_encoder_gets_no_gradient_and_the_optimizer_does_not_know_it():
    model = method()
    fit(model, 1)
    known = {id(p) for group in model.optimizers(use_pl_optimizer=False).param_groups for p in group["params"]}
    assert all(p.grad is None and id(p) not in known for p in model.key_encoder.parameters())
    assert all(id(p) in known for p in model.encoder.parameters())


@torch.no_grad()
def test_an_encoder_that_ignores_its_input_sits_at_the_chance_loss(data):
    model = method(norm_groups=2)
    torch.nn.init.zeros_(model.projector[-1].weight)
    torch.nn.init.ones_(model.projector[-1].bias)
    model.queue.keys.fill_(32**-0.5)
    model.key_projector.module.load_state_dict(model.projector.state_dict())
    batch = data.train_set.__getitems__([1, 2, 3, 4])._replace(labels=None)
    assert float(model.losses(batch)["loss"]) == pytest.approx(model.chance_loss(4), abs=1e-4)


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_learns_what_views_share_and_a_broken_version_does_not(toy, symmetric):
    settings = {"momentum": 0.99, "queue_size": 1024, "symmetric": symmetric,
                "projection_hidden": 128, "projection_dim": 64, "optimizer": Optimizer(learning_rate=3e-3)}  # fmt: skip
    whole, broken = (MoCo(toy.encoder(), views(), **settings) for views in (toy.views, toy.swapped))
    said = toy.train(whole, 200, [Alarms()])
    assert not any("chance" in message or "collapsed" in message for message in said)
    toy.train(broken, 200)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.2 + max(pixels, toy.learnt(broken))


@torch.no_grad()
def test_version_3_is_info_nce_over_the_batch_both_ways_in_plain_loops(data):
    model = version_3().eval()
    batch = data.train_set.__getitems__(list(range(5)))._replace(labels=None)
    views = model.make_views(batch).chunk(2)
    queries = [F.normalize(model.predictor(model.projector(model.encoder(*v).pooled)), dim=1) for v in views]
    keys = [F.normalize(model.key_projector(model.key_encoder(*v).pooled), dim=1) for v in views]
    total = 0.0
    for query, key in ((queries[0], keys[1]), (queries[1], keys[0])):
        for i in range(5):
            total -= 2 * 0.2 * float(((query[i] @ key.T) / 0.2).log_softmax(0)[i]) / 5
    assert float(model.losses(batch)["loss"]) == pytest.approx(total, abs=1e-5)


def test_version_3_learns_what_views_share_and_a_broken_version_does_not(toy):
    settings = {"momentum": 0.9, "projection_hidden": 128, "projection_dim": 64}
    settings["optimizer"] = Optimizer(learning_rate=3e-3)
    whole, broken = (MoCoV3(toy.encoder(), views(), **settings) for views in (toy.views, toy.swapped))
    said = toy.train(whole, 200, [Alarms()])
    assert not any("chance" in message or "collapsed" in message for message in said)
    toy.train(broken, 200)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.2 + max(pixels, toy.learnt(broken))


def test_a_vits_frozen_patches_stay_as_they_were():
    model = version_3()
    patches = model.encoder.model.embeddings.patch_embeddings.state_dict()
    start = {name: value.clone() for name, value in patches.items()}
    layer = model.encoder.model.layers[0].state_dict()
    weights = {name: value.clone() for name, value in layer.items()}
    fit(model, 5)
    assert all(torch.equal(value, start[name]) for name, value in patches.items())
    assert not any(torch.equal(value, weights[name]) for name, value in layer.items() if name.endswith("weight"))


def test_version_3s_experiment_has_the_papers_fixed_positions_and_patches():
    experiment = yaml.safe_load((Path(__file__).parents[2] / "experiments" / "image" / "moco_v3.yaml").read_text())
    encoder = ViT(**experiment["model"]["init_args"]["encoder"]["init_args"], image_size=28, channels=1)
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert not [name for name in trained if "position" in name or "patch_embeddings" in name]
    assert encoder.model.embeddings.position_embeddings[0, 1:].std() > 0.5  # of sines and cosines, not N(0, 0.02)
