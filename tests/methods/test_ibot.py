"""iBOT against lightly and plain loops, its two centres, and a toy in which patches follow from those around them."""

import math
import warnings

import lightning as L
import pytest
import torch
from lightly.loss import IBOTPatchLoss
from torch import Tensor
from torch.utils.data import DataLoader

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.image_gpt import ImageGPTEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.ibot import IBOT, VIEW, WHERE, WHETHER
from ssl_zoo.objectives.self_distillation import hidden_entropy
from ssl_zoo.optim import Optimizer
from ssl_zoo.randomness import fold_in, normal, uniform
from ssl_zoo.views.base import Viewed, Views
from ssl_zoo.views.image import SimCLRViews
from ssl_zoo.views.multi_crop import MultiCrop

HEAD = {"prototypes": 12, "projection_hidden": 16, "projection_dim": 8, "freeze_prototypes": 0.0}
SIDE, PATCH = 12, 3
PLACES = (SIDE // PATCH) ** 2


def multi_crop() -> MultiCrop:
    small = SimCLRViews(strength=0.5, crop_scale=(0.05, 0.4), blur=0.0, size=6)
    return MultiCrop(SimCLRViews(strength=0.5, crop_scale=(0.4, 1.0), blur=0.0), small, 2)


def ibot(**settings) -> IBOT:
    torch.manual_seed(0)
    vit = ViT(image_size=SIDE, patch_size=PATCH, dim=32, depth=2, heads=2, channels=1, pooling="cls")
    model = IBOT(vit, multi_crop(), **{**HEAD, **settings})
    with torch.no_grad():
        model.mask_vector.normal_()
        for head in (model.head, model.teacher_head.module):
            head[0][-1].weight.copy_(3 * torch.randn(8, 16))  # so that examples differ
        for centre in (model.centre, model.patch_centre):
            centre.normal_(std=0.05)
    return model


def images(count: int = 6) -> Batch:
    pixels = torch.randint(
        0, 256, (count, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    return Batch(pixels, None, None, torch.arange(3, count + 3))


def hidden_of(model: IBOT, batch: Batch, view: int) -> Tensor:
    """``(B, N)``, what is hidden of a view: of about half of them nothing."""
    keys = fold_in(model.keys(batch), VIEW + view)
    drawn = model.masking(torch.ones(len(keys), PLACES, dtype=torch.bool), fold_in(keys, WHERE), (4, 4)).mask
    return drawn & (uniform(fold_in(keys, WHETHER), 1) < model.masked_views)


def seen(model: IBOT, view: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Logits of one view ``(1, C, H, W)`` and of its patches, by the student where something is to be hidden."""
    encoder, head = (model.encoder, model.head) if hidden is not None else (
        model.teacher_encoder.module, model.teacher_head.module
    )  # fmt: skip
    embedded = encoder.embed(view)
    if hidden is not None:
        vectors = embedded.vectors.clone()
        vectors[0, hidden] = model.mask_vector
        embedded = embedded._replace(vectors=vectors)
    encoded = encoder.contextualize(embedded)
    return head(encoded.pooled)[0], head(encoded.sequence[0])


def cross_entropy(teacher: Tensor, centre: Tensor, temperature: float, student: Tensor) -> float:
    wanted = [math.exp(float(each) / temperature) for each in teacher - centre]
    given = [math.exp(float(each) / 0.1) for each in student]
    return -sum(p / sum(wanted) * math.log(q / sum(given)) for p, q in zip(wanted, given, strict=True))


@torch.no_grad()
def test_the_loss_is_both_cross_entropies_in_plain_loops_over_views_and_patches():
    model, batch = ibot(teacher_temperature=(0.04, 0.06), patch_temperature=(0.04, 0.05)).eval(), images()
    whole, local = model.make_crops(batch)
    wholes, locals_ = (crops.inputs.split(6) for crops in (whole, local))
    masks = [hidden_of(model, batch, view) for view in range(2)]
    assert 0 < sum(int(mask.any(1).sum()) for mask in masks) < 12  # of some views nothing is hidden
    views, pairs, patches = 0.0, 0, 0.0
    for example in range(6):
        cut = slice(example, example + 1)
        given = [seen(model, crops[cut], mask[example]) for crops, mask in zip(wholes, masks, strict=True)]
        nothing = torch.zeros(4, dtype=torch.bool)  # of a local crop's patches
        given += [seen(model, crops[cut], nothing) for crops in locals_]
        for number, crops in enumerate(wholes):
            of_view, of_patches = seen(model, crops[cut])
            for other, (student, at_patches) in enumerate(given):
                if other != number:
                    views += cross_entropy(of_view, model.centre, 0.06, student)
                    pairs += 1
                    continue
                hidden = masks[number][example].nonzero()[:, 0].tolist()
                nats = [cross_entropy(of_patches[n], model.patch_centre, 0.05, at_patches[n]) for n in hidden]
                patches += sum(nats) / max(1, len(nats)) / 12
    assert pairs == 6 * 2 * 3
    terms = model.losses(batch)
    assert float(terms["view_loss"]) == pytest.approx(views / pairs, abs=1e-5)
    assert float(terms["patch_loss"]) == pytest.approx(patches, abs=1e-5)
    assert float(terms["loss"]) == pytest.approx(views / pairs + patches, abs=2e-5)


def test_the_patch_loss_and_its_gradient_are_lightlys():
    torch.manual_seed(0)
    theirs = IBOTPatchLoss(12, teacher_temp=0.05, student_temp=0.1)
    mask = torch.rand(5, 4, 4) < 0.4
    mask[2] = False
    student = torch.randn(5, PLACES, 12, requires_grad=True)
    again = student.detach().clone().requires_grad_()
    teacher = torch.randn(5, PLACES, 12)
    flat = mask.flatten(1)
    expected = theirs(teacher[flat], student[flat], mask)
    ours = hidden_entropy(again, (teacher / 0.05).softmax(-1), flat, 0.1)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    expected.backward(), ours.backward()
    torch.testing.assert_close(again.grad, student.grad, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_what_teacher_choices_say_is_counted_over_views_and_over_hidden_patches_alone():
    model, batch = ibot().eval(), images()
    whole, _ = model.make_crops(batch)
    found: dict[str, list[Tensor]] = {"view": [], "patch": []}
    for view, crops in enumerate(whole.inputs.split(6)):
        hidden = hidden_of(model, batch, view)
        for example in range(6):
            of_view, of_patches = seen(model, crops[example : example + 1])
            found["view"].append(((of_view - model.centre) / 0.07).softmax(0))
            found["patch"].extend(((of_patches[hidden[example]] - model.patch_centre) / 0.07).softmax(1))
    terms = model.losses(batch)
    for name, entropy, information in (
        ("view", "teacher_entropy", "information"), ("patch", "patch_entropy", "patch_information"),
    ):  # fmt: skip
        each = torch.stack(found[name]).double()
        uncertain = float(-(each * each.log()).sum(1).mean())
        used = each.mean(0)
        assert float(terms[entropy]) == pytest.approx(uncertain, abs=1e-4)
        assert float(terms[information]) == pytest.approx(float(-(used * used.log()).sum()) - uncertain, abs=1e-4)


def test_of_half_of_the_views_parts_of_any_size_between_a_tenth_and_a_half_are_hidden():
    torch.manual_seed(0)
    model = IBOT(ViT(image_size=28, patch_size=4, dim=16, depth=1, heads=2, channels=1), SimCLRViews(blur=0.0), **HEAD)
    batch = Batch(torch.rand(400, 1, 28, 28), None, None, torch.arange(400))
    _, hidden = model.with_hidden(batch, model.make_views(batch))
    part = hidden.mask.float().mean(1)
    assert float((part > 0).float().mean()) == pytest.approx(0.5, abs=0.06)
    some = part[part > 0]
    assert 0.1 - 1 / 49 <= some.min() < 0.14 and 0.46 < some.max() <= 0.5 + 1 / 49
    assert float(some.mean()) == pytest.approx(0.3, abs=0.03) and float(some.std()) == pytest.approx(0.115, abs=0.015)
    assert torch.equal(hidden.valid.sum(1), hidden.mask.sum(1))
    first, second = hidden.mask.chunk(2)
    assert not torch.equal(first, second)
    neighbours = hidden.mask[part > 0].view(-1, 7, 7).float()
    assert float((neighbours[:, 1:] * neighbours[:, :-1]).mean()) > 1.5 * float(neighbours.mean()) ** 2  # in blocks


def test_what_is_hidden_reaches_the_teacher_alone_and_no_gradient_does(monkeypatch):
    model, batch = ibot(masked_views=1.0), images()
    whole, _ = model.make_crops(batch)
    embedded = model.encoder.embed(*whole)
    leaf = embedded.vectors.detach().requires_grad_()
    embed = model.encoder.embed
    monkeypatch.setattr(
        model.encoder, "embed",
        lambda images, mask=None: embedded._replace(vectors=leaf) if len(images) == 12 and images.shape[-1] == SIDE
        else embed(images, mask),
    )  # fmt: skip
    model.losses(batch)["loss"].backward()
    hidden = torch.cat([hidden_of(model, batch, view) for view in range(2)])
    reached = leaf.grad.abs().sum(2)
    assert not reached[hidden].any() and (reached[~hidden] > 0).all()
    assert model.mask_vector.grad.any()
    for teacher in (model.teacher_encoder, model.teacher_head):
        assert all(each.grad is None and not each.requires_grad for each in teacher.parameters())


def test_centres_of_views_and_patches_follow_after_use_each_by_itself_and_local_crops_are_left_whole(monkeypatch):
    model, batch = ibot(centre_momentum=0.7), images()
    before = model.centre.clone(), model.patch_centre.clone()
    whole, _ = model.make_crops(batch)
    model.losses(batch)["loss"].backward()
    assert torch.equal(model.centre, before[0]) and torch.equal(model.patch_centre, before[1])
    model.on_after_backward()
    with torch.no_grad():
        found = [seen(model, view[None]) for view in whole.inputs]
    for now, old, fresh in zip(
        (model.centre, model.patch_centre), before,
        (torch.stack([each[0] for each in found]).mean(0), torch.cat([each[1] for each in found]).mean(0)), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(now, 0.7 * old + 0.3 * fresh, atol=1e-6, rtol=1e-5)


class Noisy(Views):
    """Two copies with a little noise."""

    views_per_example = 2

    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        return torch.cat([inputs + 0.05 * normal(fold_in(keys, view), *inputs.shape[1:]) for view in (1, 2)])


def kinds(count: int, seed: int) -> Batch:
    """Images of eight kinds: each has a pattern of four pixels in all of its patches, in noise that is as loud."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    tiled = patterns[torch.randint(8, (count,), generator=generator)].tile(1, 1, 4, 4)
    noise = torch.randn(count, 1, 8, 8, generator=generator)
    return Batch(0.5 + 0.1 * tiled + 0.1 * noise, None, None, torch.arange(count))


def train(kind: type[IBOT], steps: int, *callbacks: L.Callback, **settings) -> tuple[dict[str, float], list[str]]:
    """The terms on images that it has not seen, and what was warned of."""
    torch.manual_seed(0)
    vit = ViT(8, 2, dim=32, depth=1, heads=2, channels=1, pooling="mean", mean=0.5, std=0.2)
    usual = {
        "masked_views": 1.0, "teacher_temperature": (0.04, 0.04), "patch_temperature": (0.04, 0.04), "momentum": 0.9,
        "prototypes": 16, "freeze_prototypes": 0.02, "projection_hidden": 32, "projection_dim": 16,
        "optimizer": Optimizer(learning_rate=1e-2, weight_decay=0.04),
    }  # fmt: skip
    model = kind(vit, Noisy(), **{**usual, **settings})
    everything = kinds(64 * 16, seed=1)
    batches = [Batch(*(None if x is None else x[i::16] for x in everything)) for i in range(16)]
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks), val_check_interval=50, check_val_every_n_epoch=None,
        num_sanity_val_steps=0, log_every_n_steps=10,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # they are returned, not hidden
        trainer.fit(model, *(DataLoader(part, batch_size=None) for part in (batches, batches[:1])))
    with torch.no_grad():
        terms = IBOT.losses(model.eval(), kinds(256, seed=2))
    return {name: float(value) for name, value in terms.items()}, [str(warning.message) for warning in caught]


class OtherImage(IBOT):
    """A slip in the indices: at a hidden patch of an image, what is at that of another one is to be predicted."""

    def with_hidden(self, batch: Batch, whole: Viewed) -> tuple[Encoded, Hidden]:
        encoded, hidden = super().with_hidden(batch, whole)
        return encoded._replace(sequence=encoded.sequence.roll(1, 0)), hidden


def test_it_predicts_hidden_patches_from_those_around_them_and_broken_versions_do_not():
    whole, said = train(IBOT, 100, Alarms())
    assert not any("collapsed" in message for message in said)
    others = [train(OtherImage, 30)[0], train(IBOT, 30, masking=RandomPlaces(1.0))[0]]  # where nothing is to be seen
    # The loss of the best guess that sees nothing is the entropy of what the teacher chooses, all patches together.
    guess, *guesses = (each["patch_entropy"] + each["patch_information"] for each in (whole, *others))
    assert whole["patch_loss"] < 0.6 * guess and whole["patch_information"] > 0.8
    for other, best in zip(others, guesses, strict=True):
        assert other["patch_loss"] > 0.9 * best


def test_a_teacher_that_gives_all_patches_the_same_output_is_named():
    terms, said = train(IBOT, 60, Alarms(), patch_temperature=(10.0, 10.0))
    assert any("teacher gives all hidden places nearly the same" in message for message in said)
    assert terms["patch_entropy"] == pytest.approx(math.log(16), abs=0.05)


def test_what_cannot_work_is_refused():
    for encoder, message in (
        (ResNet(10, 8), "iBOT replaces patches.*ResNet has no such step: take a transformer"),
        (MLP([8], image_size=8), "iBOT replaces patches.*MLP has no such step"),
        (ImageGPTEncoder(**ImageGPTEncoder.tiny()), "iBOT predicts what is hidden from both sides"),
    ):
        with pytest.raises(InputError, match=message):
            IBOT(encoder, SimCLRViews(blur=0.0))
    for settings, message in (
        ({"student_temperature": 0.0}, "student_temp"), ({"patch_temperature": (0.1, 0.05)}, "patch_temperature is"),
        ({"masked_views": 0.0}, "masked_views is 0.0"), ({"masked_views": 1.5}, "masked_views is 1.5"),
        ({"prototypes": 1}, "prototypes is 1"), ({"centre_momentum": 1.5}, "centre_momentum is 1.5"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            ibot(**settings)
    for settings, message in (({"spread": 0.7}, "spread is 0.7"), ({"spread": 0.1, "rounding": "up"}, "leave one out")):
        with pytest.raises(InputError, match=message):
            RandomBlocks(0.4, **settings)
