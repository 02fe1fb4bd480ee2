"""Exemplar against plain loops, which examples are classes, on two ranks, and on a toy."""

import math
import warnings

import lightning as L
import pytest
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.refits import Refits
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import MLP, ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.exemplar import Exemplar
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.refit import as_columns, from_columns
from ssl_zoo.views.image import SimCLRViews
from tests.methods.coded import fit_to
from tests.methods.conftest import examples

INDEX = 3 * torch.arange(20) + 2  # as where some of a source's examples are left out


def make(classes: int = 20, **settings) -> Exemplar:
    torch.manual_seed(0)
    return Exemplar(MLP([32, 24], image_size=8), SimCLRViews(blur=0.0), classes, **{"hidden": 16, **settings})


def images(rows: Tensor | None = None) -> Batch:
    pixels = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    rows = torch.arange(20) if rows is None else rows
    return Batch(pixels[rows], None, None, INDEX[rows])


def fitted(chosen: Tensor, **settings) -> Exemplar:
    """With classes of these of the images."""
    model = make(**settings)
    fit_to(model, images(chosen))
    return model


def still(model: Exemplar) -> Exemplar:
    """In training, but for its batch norm, so that one view at a time is the same as all at once."""
    model.head[1].eval()
    return model


@pytest.mark.parametrize("chosen", [torch.arange(20), torch.tensor([1, 4, 5, 18])])
def test_the_loss_by_plain_loops_over_views_and_classes(chosen):
    model, batch = still(fitted(chosen)), images()
    order = {int(INDEX[row]): number for number, row in enumerate(chosen.tolist())}
    nats, right = [], []
    for view in model.make_views(batch).inputs.chunk(2):
        for image, index in zip(view, INDEX.tolist(), strict=True):
            if index in order:
                scores = model.head(model.encoder(image[None]).pooled)[0][: len(chosen)]  # others have no example
                nats.append(sum(score.exp() for score in scores).log() - scores[order[index]])
                right.append(int(scores.argmax()) == order[index])
    expected = torch.stack(nats).mean()
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(right) / len(right))
    assert float(terms["known"]) == pytest.approx(len(chosen) / 20)
    parameters = [*model.parameters()]
    for ours, theirs in zip(
        *(torch.autograd.grad(each, parameters) for each in (terms["loss"], expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_examples_without_a_class_have_no_part_in_the_loss():
    chosen, others = torch.tensor([1, 4, 5, 18]), torch.tensor([0, 2, 3, 19])
    model = still(fitted(chosen, classes=4))
    alone, mixed = (model.losses(images(rows)) for rows in (chosen, torch.cat([others, chosen])))
    torch.testing.assert_close(mixed["loss"], alone["loss"])
    assert float(mixed["accuracy"]) == pytest.approx(float(alone["accuracy"])) and float(mixed["known"]) == 0.5
    none = model.losses(images(others))
    none["loss"].backward()
    assert float(none["loss"].detach()) == 0 and float(none["known"]) == 0
    sound = [alarm.sounds({"train/known": known}) for known in (0.5, 0.1) for alarm in model.alarms(8)]
    assert sound.count(True) == 1 and sound[-1]  # of the one that is about few classes
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


@torch.no_grad()
def test_held_out_examples_are_in_the_class_that_they_are_taken_for_whatever_their_numbers():
    model = fitted(torch.arange(20)).eval()
    batch = images()
    scores = model.head(model.encoder(batch.inputs).pooled)
    logits = model.head(model.encoder(*model.make_views(batch)).pooled)
    expected = torch.nn.functional.cross_entropy(logits, scores.argmax(1).repeat(2))
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected)
    assert terms.keys() == {"loss", "accuracy"}
    # Numbers that mean training images, too, where a source has parts of their own: here they are those of none.
    model.chosen.fill_(7)
    torch.testing.assert_close(model.losses(batch)["loss"], expected)


@torch.no_grad()
def test_numbers_of_any_size_find_their_class_and_no_other():
    model = make(5)
    numbers = torch.tensor([2**40 + 1, 3, 2**24 + 1, 2**24, 0])
    assert torch.equal(from_columns(as_columns(numbers)), numbers)
    model._use(model._fit(as_columns(numbers[[0, 1, 2, 1]])))  # one of them twice
    place, known = model.classes_of(numbers)
    assert place[known].tolist() == [2, 0, 1] and known.tolist() == [True, True, True, False, False]
    assert not model.classes_of(torch.tensor([2**50]))[1].any()
    assert model.chance_loss(1) == pytest.approx(math.log(3)) and make(5).chance_loss(1) == pytest.approx(math.log(5))
    nothing = fitted(torch.arange(20))
    torch.nn.init.zeros_(nothing.head[3].weight)
    torch.nn.init.zeros_(nothing.head[3].bias)
    assert float(nothing.losses(images())["loss"]) == pytest.approx(nothing.chance_loss(20), abs=1e-5)


def run(seed: int, **settings) -> Exemplar:
    torch.manual_seed(seed)
    model = Exemplar(ResNet(10, 8, channels=1), SimCLRViews(blur=0.0), 10, hidden=16)
    data = ImageData(image_size=8, batch_size=12, train_size=50)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[Refits()], enable_model_summary=False, limit_val_batches=0, **settings,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # data lies in memory
        warnings.filterwarnings("ignore", ".*`limit_val_batches=0`")  # nothing is validated
        trainer.fit(model, data)
    known = data.pretrain_set.__getitems__(list(range(50))).index
    assert set(model.chosen.tolist()) <= set(known.tolist())
    return model


def as_rank() -> Tensor:
    return run(3, strategy="ddp", devices=2).chosen


def test_the_same_examples_are_classes_in_every_run_and_on_every_rank(two_processes):
    first = run(0)
    chosen = first.chosen.tolist()
    assert chosen == sorted(set(chosen)) and len(chosen) == 10 and max(chosen) < 2**62
    assert run(1).chosen.tolist() == chosen
    for found in two_processes(as_rank):
        assert found.tolist() == chosen
    again = Exemplar(ResNet(10, 8, channels=1), SimCLRViews(blur=0.0), 10, hidden=16)
    again.load_state_dict(first.state_dict())
    assert again.chosen.tolist() == chosen and again.refits() == []  # a resumed run chooses none anew


class Chooses(L.Callback):
    """The classes of the toy's images, as the callback chooses them that reads a data module."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        fit_to(pl_module, examples(2048, seed=1))


class CountsOn(Exemplar):
    """A slip: classes are numbered by when an example is seen, and other ones at every step."""

    def classes_of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return super().classes_of((index + 7 * self.global_step) % 2048)


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    rate = Optimizer(learning_rate=3e-3)
    whole, broken = (kind(toy.encoder(), toy.views(), 2048, 128, optimizer=rate) for kind in (Exemplar, CountsOn))
    toy.train(whole, 120, [Chooses()])
    toy.train(broken, 60, [Chooses()])
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.2 + max(pixels, toy.learnt(broken))


def test_what_cannot_work_is_refused():
    for name, value in {"classes": 1, "hidden": 0}.items():
        with pytest.raises(InputError, match=f"Exemplar's {name} is {value}; give a number of at least"):
            make(**{name: value})
    with pytest.raises(InputError, match=r"callbacks\.refits\.Refits"):
        L.Trainer(
            accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, limit_val_batches=0,
        ).fit(make(), ImageData(image_size=8, batch_size=12, train_size=50))  # fmt: skip


def test_views_of_two_images_are_refused():
    batch = images()
    model = fitted(torch.arange(20))
    with pytest.raises(InputError, match=r"Exemplar takes every image for a class of its own.*set data.pairs to false"):
        model.losses(batch._replace(fields={"partner": batch.inputs}))
