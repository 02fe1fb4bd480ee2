import math

import lightning as L
import pytest
import torch
from lightly.loss import DINOLoss
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.cli import run
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods.dino import DINO
from ssl_zoo.objectives.self_distillation import cross_view_entropy, entropy
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.prototypes import Prototypes
from ssl_zoo.parts.teacher import Teacher
from ssl_zoo.views.base import Views
from ssl_zoo.views.image import SimCLRViews
from ssl_zoo.views.multi_crop import MultiCrop
from tests.contracts.experiments import FOLDER, SMALL, UNWATCHED, checkpoint, waves

HEAD = {"prototypes": 12, "projection_hidden": 16, "projection_dim": 8}
PATCH = 4


@pytest.fixture(scope="module")
def data() -> ImageData:
    data = ImageData(image_size=12, batch_size=64)
    data.setup()
    return data


def multi_crop(local_crops: int = 4) -> MultiCrop:
    small = SimCLRViews(strength=0.5, crop_scale=(0.05, 0.4), blur=0.0, size=8)
    return MultiCrop(SimCLRViews(strength=0.5, crop_scale=(0.4, 1.0), blur=0.0), small, local_crops)


def dino(views: Views | None = None, **settings) -> DINO:
    torch.manual_seed(0)
    vit = ViT(image_size=12, patch_size=PATCH, dim=32, depth=2, heads=2, channels=1)
    return DINO(vit, views or multi_crop(), **{**HEAD, "freeze_prototypes": 0.0, **settings})


def some(data: ImageData, count: int = 6) -> Batch:
    return data.train_set.__getitems__(list(range(count)))._replace(labels=None)


def fit(model: L.LightningModule, steps: int, *callbacks: L.Callback, **settings) -> None:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        callbacks=[ExactResume(), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(model, ImageData(image_size=12, batch_size=64))


def logits_of(model: DINO, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
    """Of every crop by the student, and of every global one by the teacher, each crop of all examples by itself."""
    whole, local = model.make_crops(batch)
    crops = [*whole.chunk(2), *local.chunk(4)]
    student = [model.head(model.encoder(*crop).pooled) for crop in crops]
    return student, [model.teacher_head.module(model.teacher_encoder.module(*crop).pooled) for crop in crops[:2]]


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_of_all_pairs_of_views_in_plain_loops(data):
    model, batch = dino(teacher_temperature=(0.04, 0.06)).eval(), some(data)
    for head in (model.head, model.teacher_head.module):
        head[0][-1].weight.copy_(3 * torch.randn(8, 16))  # so that examples differ
    student, teacher = logits_of(model, batch)
    model.centre.copy_(torch.cat(teacher).mean(0) + 0.01 * torch.randn(12))
    total, pairs, entropies, used = 0.0, 0, [], torch.zeros(12)
    for number, t in enumerate(teacher):
        for example in range(6):
            wanted = [math.exp(float(each)) for each in (t[example] - model.centre) / 0.06]
            wanted = [each / sum(wanted) for each in wanted]
            entropies.append(-sum(p * math.log(p) for p in wanted))
            used += torch.tensor(wanted) / 12
            for other, s in enumerate(student):
                if other != number:
                    given = [math.exp(float(each) / 0.1) for each in s[example]]
                    total -= sum(p * math.log(q / sum(given)) for p, q in zip(wanted, given, strict=True))
                    pairs += 1
    assert pairs == 6 * 2 * 5
    terms = model.losses(batch)
    assert float(terms["loss"]) == pytest.approx(total / pairs, abs=1e-5)
    mean = sum(entropies) / len(entropies)
    assert float(terms["teacher_entropy"]) == pytest.approx(mean, abs=1e-5)
    spread = -sum(float(p) * math.log(float(p)) for p in used)
    assert float(terms["information"]) == pytest.approx(spread - mean, abs=1e-5) and spread - mean > 0.1


def test_loss_gradient_and_centre_are_lightlys():
    torch.manual_seed(0)
    theirs = DINOLoss(12, teacher_temp=0.05, warmup_teacher_temp_epochs=0, student_temp=0.1, center_momentum=0.9)
    student = torch.randn(5, 7, 12, requires_grad=True)
    again = student.detach().clone().requires_grad_()
    centre = torch.zeros(12)
    for _ in range(3):
        teacher = torch.randn(2, 7, 12)
        expected = theirs(list(teacher), list(student), teacher_temp=0.05)
        ours = cross_view_entropy(again, ((teacher - centre) / 0.05).softmax(-1), 0.1)
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
        expected.backward(), ours.backward()
        torch.testing.assert_close(again.grad, student.grad, atol=1e-6, rtol=1e-4)
        centre.lerp_(teacher.mean((0, 1)), 0.1)
        torch.testing.assert_close(centre, theirs.center.flatten(), atol=1e-6, rtol=1e-5)


def test_the_same_view_is_no_pair_and_no_gradient_reaches_the_teacher():
    student = torch.randn(2, 3, 5, requires_grad=True)
    teacher = torch.randn(1, 3, 5, requires_grad=True)
    cross_view_entropy(student, teacher.softmax(-1), 0.1).backward()
    assert teacher.grad is None and not student.grad[0].any() and student.grad[1].any()


def test_the_entropy_of_what_never_happens_is_zero():
    assert entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist() == pytest.approx([0.0, math.log(2)])


def test_the_teacher_sees_the_global_crops_alone_and_each_size_goes_through_the_encoder_in_one_pass(data, monkeypatch):
    model, seen = dino(), {"student": [], "teacher": []}
    for who, encoder in (("student", model.encoder), ("teacher", model.teacher_encoder.module)):
        embed = encoder.embed

        def spy(images, mask=None, who=who, embed=embed):
            seen[who].append(tuple(images.shape))
            return embed(images, mask)

        monkeypatch.setattr(encoder, "embed", spy)
    model.losses(some(data))
    assert seen == {"student": [(12, 1, 12, 12), (24, 1, 8, 8)], "teacher": [(12, 1, 12, 12)]}


def test_views_of_one_size_need_no_local_crops(data):
    model = dino(SimCLRViews(blur=0.0))
    terms = model.losses(some(data))
    assert terms["loss"].isfinite()
    terms["loss"].backward()
    assert all(p.grad is not None for p in model.head.parameters())


def test_the_centre_follows_after_use_and_only_in_training(data):
    model, batch = dino(centre_momentum=0.7), some(data)
    expected = torch.zeros(12)
    for _ in range(2):
        _, teacher = logits_of(model, batch)
        before = model.losses(batch)
        assert torch.equal(model.centre, expected)  # what has been subtracted is the centre of the batches before
        before["loss"].backward()
        model.on_after_backward()
        mean = torch.stack([row for view in teacher for row in view]).mean(0)
        expected = 0.7 * expected + 0.3 * mean
        torch.testing.assert_close(model.centre, expected, atol=1e-6, rtol=1e-5)
        expected = model.centre.clone()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=1, limit_test_batches=1,
    )  # fmt: skip
    trainer.validate(model, data, verbose=False)
    trainer.test(model, data, verbose=False)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_centre_and_teacher_are_saved_and_no_gradient_reaches_them(data):
    model = dino()
    fit(model, 2)
    assert {"centre", "teacher_head.module.1.weight"} <= model.state_dict().keys() and model.centre.abs().max() > 0
    known = {id(p) for group in model.optimizers(use_pl_optimizer=False).param_groups for p in group["params"]}
    for teacher in (model.teacher_encoder, model.teacher_head):
        assert all(p.grad is None and id(p) not in known for p in teacher.parameters())
    assert {id(p) for p in [*model.encoder.parameters(), *model.head.parameters()]} == known


def test_the_teacher_is_what_is_evaluated(data):
    model, batch = dino().eval(), some(data)
    with torch.no_grad():
        model.teacher_encoder.module.model.layernorm.weight.mul_(2)
        expected = model.teacher_encoder.module(batch.inputs).pooled
        assert torch.equal(model.encode(batch).pooled, expected)
        assert not torch.allclose(model.encoder(batch.inputs).pooled, expected)


def test_prototypes_are_cosines_whatever_the_lengths_of_their_weights():
    torch.manual_seed(0)
    layer, vectors = Prototypes(6, 5), torch.randn(4, 6)
    norm = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(6, 5, bias=False))
    with torch.no_grad():
        norm.parametrizations.weight.original0.fill_(1.0)  # the gain
        norm.parametrizations.weight.original1.copy_(layer.weight)
        expected = norm(vectors / vectors.norm(dim=1, keepdim=True))
        torch.testing.assert_close(layer(vectors), expected)
        layer.weight.mul_(3.0)
        torch.testing.assert_close(layer(7 * vectors), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(vectors), layer(vectors).float()) and layer(vectors.bfloat16()).dtype == torch.float32


class PrototypesKept(L.Callback):
    """Takes down the prototypes and a weight below them before each step."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.seen.append((pl_module.head[-1].weight.detach().clone(), pl_module.head[0][0].weight.detach().clone()))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_prototypes_stand_still_in_the_first_part_of_the_run(name):
    kept, optimizer = PrototypesKept(), Optimizer(name, 1e-2, weight_decay=0.1)
    fit(dino(freeze_prototypes=0.4, optimizer=optimizer), 6, kept)
    still = [torch.equal(before[0], after[0]) for before, after in zip(kept.seen, kept.seen[1:], strict=False)]
    # Steps 0 to 2 begin before .4 of the run is over.
    assert still == [True, True, True, False, False]
    assert not any(torch.equal(before[1], after[1]) for before, after in zip(kept.seen, kept.seen[1:], strict=False))


def test_temperature_and_momentum_follow_their_schedules_over_the_run(monkeypatch):
    model, momenta, temperatures = dino(teacher_temperature=(0.04, 0.08), temperature_rise=0.5, momentum=0.9), [], []
    follow, schedule = Teacher.follow, model.teacher_temperature
    monkeypatch.setattr(Teacher, "follow", lambda self, progress: momenta.append(progress) or follow(self, progress))
    model.teacher_temperature = lambda progress: temperatures.append(schedule(progress)) or temperatures[-1]
    fit(model, 8)
    assert temperatures == pytest.approx([0.04, 0.05, 0.06, 0.07, 0.08, 0.08, 0.08, 0.08])
    assert model.teacher_head.momentum(0.0) == pytest.approx(0.9) and model.teacher_head.momentum(1.0) == 1.0
    assert len(momenta) == 16 and momenta == sorted(momenta)


def test_a_vit_interpolates_its_positions_for_local_crops_as_the_published_code_does():
    vit = ViT(image_size=28, patch_size=PATCH, dim=8, depth=1, heads=2, channels=1).eval()
    table = vit.model.embeddings.position_embeddings.detach()
    grid = torch.nn.functional.interpolate(table[:, 1:].mT.unflatten(2, (7, 7)), (3, 3), mode="bicubic")
    embedded = vit.embed(torch.rand(2, 1, 12, 12))
    states = vit.contextualize(embedded, layers=True).layers[0]
    torch.testing.assert_close(states[:, 1:], embedded.vectors + grid.flatten(2).mT)
    torch.testing.assert_close(states[:, 0], (vit.model.embeddings.cls_token[:, 0] + table[:, 0]).expand(2, -1))


def test_a_convolutional_network_takes_crops_of_two_sizes_too(data):
    torch.manual_seed(0)
    fit(DINO(ResNet(10, 8, channels=1), multi_crop(), **HEAD), 2)


def test_options_alone_take_multi_crop_to_speech_with_what_the_data_gives_to_both_sizes(tmp_path):
    options = ["--model.encoder=AudioResNet", "--model.encoder.depth=10", "--model.encoder.width=8", "--data=AudioData",
               "--data.source=AudioFolder", f"--data.source.root={waves()}", "--data.sample_rate=8000",
               "--data.crop_seconds=0.5", "--trainer.max_steps=1", *UNWATCHED]  # fmt: skip
    for views, seconds in (("global_views", 0.4), ("local_views", 0.2)):
        options += [f"--model.views.{views}=AudioViews", f"--model.views.{views}.seconds={seconds}"]
    run(["fit", "--config", str(FOLDER / "image" / "dino.yaml"), *SMALL, *options, f"--runs_dir={tmp_path / 'runs'}"])
    (directory,) = tmp_path.glob("runs/*/*")
    given = checkpoint(directory)["hyper_parameters"]["views"]["init_args"]
    assert [given[views]["init_args"]["sample_rate"] for views in ("global_views", "local_views")] == [8000, 8000]
    assert given["local_views"]["init_args"]["seconds"] == 0.2 and given["local_crops"] == 4


TOY = {
    "teacher_temperature": (0.02, 0.02),  # the toy's images are much alike
    "momentum": 0.98,
    "prototypes": 64,
    "freeze_prototypes": 0.02,
    "projection_hidden": 128,
    "projection_dim": 32,
    "optimizer": Optimizer(learning_rate=5e-3, weight_decay=0.04, final_weight_decay=0.4),
}


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    whole, broken = (DINO(toy.encoder(), views(), **TOY) for views in (toy.views, toy.swapped))
    assert not any("collapsed" in message for message in toy.train(whole, 400, [Alarms()]))
    toy.train(broken, 100)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.06 + max(pixels, toy.learnt(broken))


@pytest.mark.parametrize(
    ("broken", "entropy_at_the_end"),
    [({"centre_momentum": 1.0}, 0.0), ({"teacher_temperature": (0.1, 0.1)}, math.log(64))],
    ids=["without centring one output takes all", "without sharpening all outputs are alike"],
)
def test_a_version_that_collapses_says_so(toy, broken, entropy_at_the_end):
    seen = {}

    class Entropy(L.Callback):
        def on_train_end(self, trainer, pl_module):
            seen.update(trainer.callback_metrics)

    said = toy.train(DINO(toy.encoder(), toy.views(), **{**TOY, **broken}), 100, [Alarms(), Entropy()])
    assert sum("The outputs have collapsed" in message for message in said) == 1
    assert float(seen["train/teacher_entropy"]) == pytest.approx(entropy_at_the_end, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_temperature": (0.0, 0.07)}, "teacher_temperature is"),
        ({"student_temperature": 0.0}, "student_temperature is"),
        ({"prototypes": 1}, "prototypes is 1"),
        ({"centre_momentum": 1.5}, "centre_momentum is 1.5"),
        ({"freeze_prototypes": -0.1}, "freeze_prototypes is -0.1"),
        ({"momentum": 2.0}, "momentum is 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        dino(**settings)
