"""I-JEPA against an independent computation in plain loops on images and speech, and a toy that places explain."""

import pytest
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.target_blocks import Blocks
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.encoders.positions import fixed_positions
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.ijepa import IJEPA
from tests.made import vocabulary

SIDE, PATCH, IMAGES = 20, 4, 5
PLACES = (SIDE // PATCH) ** 2
SMALL = {"predictor_dim": 16, "predictor_depth": 1, "predictor_heads": 2}


def of_images(dropout: float = 0.0, kind: type[IJEPA] = IJEPA, **settings) -> IJEPA:
    torch.manual_seed(0)
    sizes = {"dim": 32, "depth": 2, "heads": 2, "channels": 1, "pooling": "mean", "positions": "sincos"}
    return kind(ViT(SIDE, PATCH, dropout=dropout, **sizes), **{**SMALL, **settings})


def of_speech(patches: bool = False, **settings) -> IJEPA:
    torch.manual_seed(0)
    if patches:
        encoder: Encoder = AudioViT(mels=20, patch_frames=8, patch_bands=5, dim=32, depth=2, heads=2)
    else:
        encoder = Wav2Vec2Encoder(LogMel(mels=20, dim=32, strides=[2]), dim=32, depth=2, heads=2, dropout=0.0)
    return IJEPA(encoder, **{**SMALL, **settings})


def images(count: int = IMAGES) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return Batch(pixels, None, None, torch.arange(5, 5 + count))


def speech() -> Batch:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([16000, 9000, 12000, 16000])
    mask = torch.arange(16000) < lengths[:, None]
    return Batch(torch.randn(4, 16000, generator=generator).mul(0.1) * mask, mask, None, torch.arange(4))


def uneven(model: IJEPA) -> IJEPA:
    """With weights so large that context matters, and a teacher that is not the student any more."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
        for parameter in model.teacher.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return model


def rows_of(blocks: Blocks, example: int) -> tuple[list[int], list[list[int]]]:
    """The context's places and those of every block."""
    context = blocks.context[example][blocks.context_real[example]].tolist()
    pairs = zip(blocks.targets[example], blocks.targets_real[example], strict=True)
    return context, [places[real].tolist() for places, real in pairs]


def looped_loss(model: IJEPA, batch: Batch) -> float:
    """The paper's loss, an example, a block and a place at a time, without padding of any kind."""
    blocks, predictor = model.predict(batch).blocks, model.predictor
    total, count = 0.0, 0
    for example in range(len(batch.index)):
        inputs = batch.inputs[example : example + 1]
        if batch.mask is not None:
            inputs = inputs[:, batch.mask[example]]
        whole = model.teacher.module(inputs).sequence[0]
        embedded = model.encoder.embed(inputs)
        places = embedded.vectors.shape[1]
        context, targets = rows_of(blocks, example)
        assert max(context, default=0) < places
        index = torch.tensor([context])
        seen = model.encoder.contextualize(embedded.at(index), places=index).sequence[0]
        positions = fixed_positions(model.encoder.grid(inputs), places, predictor.dim)
        for block in targets:
            rows = [predictor.enter(vector) + positions[place] for vector, place in zip(seen, context, strict=True)]
            rows += [predictor.mask_vector + positions[place] for place in block]
            vectors = torch.stack(rows)[None]
            for layer in predictor.layers:
                vectors = layer(vectors)
            for slot, place in enumerate(block, len(context)):
                predicted = predictor.leave(predictor.norm(vectors[0, slot]))
                mean = whole[place].mean()
                deviation = ((whole[place] - mean) ** 2).mean().add(1e-5).sqrt()
                target = (whole[place] - mean) / deviation
                for each in (predicted - target).abs().tolist():
                    total += 0.5 * each**2 if each < 1 else each - 0.5
                count += len(target)
    return total / count


@torch.no_grad()
@pytest.mark.parametrize("most_seen", [1.0, 0.4])
def test_loss_on_images_is_that_of_the_paper_by_plain_loops(most_seen):
    model, batch = uneven(of_images(most_seen=most_seen)).eval(), images()
    assert float(model.losses(batch)["loss"]) == pytest.approx(looped_loss(model, batch), rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("patches", [False, True])
def test_loss_on_padded_speech_is_that_of_the_paper_by_plain_loops(patches):
    model, batch = uneven(of_speech(patches)).eval(), speech()
    assert float(model.losses(batch)["loss"]) == pytest.approx(looped_loss(model, batch), rel=1e-5)


def test_nothing_outside_of_the_context_reaches_a_prediction_and_all_of_the_context_does():
    model, batch = of_images().train(), images()
    floats = (batch.inputs / 255).requires_grad_()
    blocks, predicted, targets = model.predict(batch._replace(inputs=floats))
    assert not targets.requires_grad
    predicted.square().sum().backward()
    reached = torch.nn.functional.unfold(floats.grad.abs(), PATCH, stride=PATCH).sum(1)
    for example in range(IMAGES):
        context, hidden = rows_of(blocks, example)
        outside = sorted(set(range(PLACES)) - set(context))
        assert set().union(*hidden) <= set(outside)
        assert not reached[example, outside].any() and (reached[example, context] > 0).all()


def test_no_block_is_predicted_from_the_places_of_another():
    model, batch = of_images().eval(), images()
    with torch.no_grad():
        blocks, whole, _ = model.predict(batch)
        first = model.drawn

        def fewer(*arguments, **named) -> Blocks:
            drawn = first(*arguments, **named)
            return drawn._replace(targets=drawn.targets[:, :1], targets_real=drawn.targets_real[:, :1])

        model.drawn = fewer
        alone = model.predict(batch).predicted
    real = blocks.targets_real[:, :1]
    torch.testing.assert_close(alone[real], whole[:, :1][real])


def test_the_teacher_sees_everything_without_dropout_has_no_gradient_and_follows():
    model, batch = of_images(dropout=0.5, momentum=0.9).train(), images()
    first, second = (model.predict(batch) for _ in range(2))
    assert torch.equal(first.targets, second.targets) and not torch.equal(first.predicted, second.predicted)
    model.losses(batch)["loss"].backward()
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())
    missing = [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None]
    assert not missing
    assert model.teacher.momentum(0.0) == 0.9 and model.teacher.momentum(1.0) == 1.0
    assert model.teacher.momentum(0.5) == pytest.approx(0.95)
    model.eval()
    assert torch.equal(model.encode(batch).pooled, model.teacher.module(batch.inputs).pooled)


@torch.no_grad()
@pytest.mark.parametrize("patches", [False, True])
def test_padding_and_the_order_of_the_batch_change_nothing(patches):
    model, batch = uneven(of_speech(patches)).eval(), speech()
    loss = model.losses(batch)["loss"]
    longer, more = (torch.nn.functional.pad(each, (0, 5000)) for each in (batch.inputs, batch.mask))
    longer = torch.where(more, longer, 0.3)
    torch.testing.assert_close(model.losses(batch._replace(inputs=longer, mask=more))["loss"], loss, rtol=1e-5, atol=0)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order])
    torch.testing.assert_close(model.losses(shuffled)["loss"], loss, rtol=1e-5, atol=0)


class Unplaced(IJEPA):
    """A slip: the predictor is not given where places are."""

    def predict(self, batch: Batch) -> tuple[Blocks, Tensor, Tensor]:
        self.predictor.forward = lambda known, visible, wanted, positions, *real: type(self.predictor).forward(
            self.predictor, known, visible, wanted, 0 * positions, *real
        )
        return super().predict(batch)


def planes(count: int, seed: int) -> Batch:
    """Grey images that rise steadily in some direction: a few patches with their places give all others."""
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.rand(2, count, 1, 1, generator=generator) - 0.5
    row, column = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    return Batch((0.5 + 0.5 * (slopes[0] * row + slopes[1] * column))[:, None], None, None, torch.arange(count))


def learnt(kind: type[IJEPA]) -> dict[str, float]:
    """On new images after a short training; the teacher stands still, so that all have to learn the same."""
    model = of_images(kind=kind, momentum=1.0, predictor_dim=32)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=4e-3, fused=True)
    for step in range(60):
        batch = planes(16, step)
        optimizer.zero_grad()
        model.losses(batch._replace(index=16 * step + batch.index))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return {name: float(value) for name, value in model.eval().losses(planes(128, 1000)).items()}


def test_it_predicts_what_follows_from_the_context_and_the_places():
    whole, broken = learnt(IJEPA), learnt(Unplaced)
    assert whole["explained"] > 0.3 and broken["explained"] < 0.1


def test_the_spread_of_the_targets_is_0_when_all_are_alike_and_about_1_when_they_are_not():
    model, batch = of_images(), images(64)
    teacher = model.teacher

    class Given(torch.nn.Module):
        def __init__(self, vectors: Tensor) -> None:
            super().__init__()
            self.vectors = vectors

        def forward(self, inputs: Tensor, mask: Tensor | None):
            return teacher(inputs, mask)._replace(sequence=self.vectors.expand(len(inputs), PLACES, 32))

    model.teacher = Given(torch.randn(32))
    assert model.losses(batch)["target_std"] < 1e-3
    model.teacher = Given(torch.randn(64, PLACES, 32))
    assert 0.9 < model.losses(batch)["target_std"] < 1.1
    (alarm,) = [each for each in model.alarms(8) if each.metric == "train/target_std"]
    assert alarm.sounds({"train/target_std": 0.01}) and not alarm.sounds({"train/target_std": 0.5})


def test_what_it_cannot_do_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"I-JEPA leaves patches, .* ResNet cannot do without any"):
        IJEPA(ResNet(10, 8))
    with pytest.raises(
        InputError, match="I-JEPA predicts blocks of patches or frames, which BertEncoder does not read"
    ):
        IJEPA(BertEncoder(vocabulary(9), dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match="predictor's width is 18; give a multiple of 4"):
        of_images(predictor_dim=18)
    with pytest.raises(InputError, match="The predictor's width 16 is not a multiple of its 3 heads"):
        of_images(predictor_heads=3)
    with pytest.raises(InputError, match="The predictor has 0 layers, and without one nothing visible reaches"):
        of_images(predictor_depth=0)
    for momentum in (1.5, -0.5, float("nan")):
        with pytest.raises(InputError, match=f"momentum is {momentum:g}; a teacher follows with one from 0 to 1"):
            of_images(momentum=momentum)
