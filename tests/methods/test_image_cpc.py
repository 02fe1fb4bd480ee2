"""CPC of images against plain loops, and toys with and without something to predict."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.encoders.patch_resnet import PatchResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.image_cpc import ImageCPC
from ssl_zoo.optim import Optimizer
from tests.methods.layouts import train

PLAIN = {"crop_scale": (1.0, 1.0), "flip": 0.0, "strength": 0.0, "drop_channels": False}


def make(kind: type[ImageCPC] = ImageCPC, channels: int = 1, overlap: float = 0.5, **settings) -> ImageCPC:
    torch.manual_seed(0)
    sizes = {"target_dim": 16, "context_dim": 32, "context_blocks": 2}
    encoder = PatchResNet(4, overlap, 10, 8, channels=channels)
    return kind(encoder, optimizer=Optimizer(learning_rate=3e-3), **{**sizes, **settings})


def batch(images: Tensor) -> Batch:
    return Batch(images, None, None, torch.arange(len(images)))


@pytest.mark.parametrize(("offset", "steps"), [(None, 2), (1, 9)])
def test_the_loss_by_plain_loops_over_places_steps_and_candidates(offset, steps):
    model = make(channels=3, offset=offset, steps=steps)
    seen = batch(torch.rand(3, 3, 10, 12))  # four rows of five patches
    # Each place's patches as images, of which the encoder sees one patch.
    z = torch.stack([model.encoder(patch).pooled for patch in model.patches(seen).unbind(1)], 1).unflatten(1, (4, 5))
    context, targets, offset = model.context(z), model.targets(z), offset or 2
    everything = [targets[image, row, column] for image in range(3) for row in range(4) for column in range(5)]
    nats, right = [], []
    for image in range(3):
        for row in range(4):
            for column in range(5):
                for step in range(steps):
                    below = row + offset + step
                    if below > 3:
                        continue
                    rows = slice(16 * step, 16 * step + 16)
                    query = model.predictors.weight[rows] @ context[image, row, column] + model.predictors.bias[rows]
                    scores = [query @ each / 4 for each in everything]
                    true = image * 20 + below * 5 + column
                    nats.append(sum(score.exp() for score in scores).log() - scores[true])
                    right.append(max(scores) == scores[true])
    expected, terms = torch.stack(nats).mean(), model.losses(seen)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(map(bool, right)) / len(right))
    assert float(terms["chance"]) == pytest.approx(1 / 60)
    assert float(terms["gain"]) == pytest.approx(math.log(60) - float(expected.detach()), abs=1e-5)
    parameters = [*model.parameters()]
    for ours, theirs in zip(
        *(torch.autograd.grad(each, parameters) for each in (terms["loss"], expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


def test_the_first_row_to_be_predicted_shares_no_pixel_with_what_is_seen():
    model = make()
    assert model.offset == 2
    images = torch.rand(1, 1, 10, 12)
    changed = images.clone()
    changed[:, :, :6] = 0.5  # the first two of four rows of patches: pixels 0 to 3, and 2 to 5
    with torch.no_grad():
        before, after = (model.encoder(each).sequence.unflatten(1, (4, 5)) for each in (images, changed))
    assert torch.equal(before[:, 3], after[:, 3])  # seen by the second row: up to pixel 5; the fourth begins at 6
    assert not torch.equal(before[:, 2], after[:, 2])
    torch.manual_seed(0)
    assert ImageCPC(PatchResNet(4, 0.0, 10, 8)).offset == 1 and ImageCPC(PatchResNet(4, 0.75, 10, 8)).offset == 4


@torch.no_grad()
def test_each_patch_is_changed_by_itself_and_always_alike():
    model = make(channels=3)
    alike = torch.rand(1, 3, 2, 2).repeat(4, 1, 5, 5)  # all patches are the same
    patches = model.patches(batch(alike)).flatten(2)
    assert len({tuple(patch) for patch in patches.flatten(0, 1).tolist()}) == 4 * 16
    assert torch.equal(model.patches(batch(alike)), model.patches(batch(alike)))
    one = model.patches(Batch(alike[2:3], None, None, torch.tensor([2])))  # whoever else is in the batch
    torch.testing.assert_close(one.flatten(2), patches[2:3], atol=1e-6, rtol=0)
    kept = make(channels=3, **PLAIN).patches(batch(alike))
    torch.testing.assert_close(kept, model.encoder.cut(alike), atol=1e-6, rtol=0)


def stripes(count: int, seed: int) -> Tensor:
    """Images ``(N, 1, 10, 10)`` of columns that go on to the bottom, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.rand(count, 1, 1, 10, generator=generator)
    return 0.8 * columns + 0.2 * torch.rand(count, 1, 10, 10, generator=generator)


def noise(count: int, seed: int) -> Tensor:
    """Images ``(N, 1, 10, 10)`` in which nothing follows from anything."""
    return torch.rand(count, 1, 10, 10, generator=torch.Generator().manual_seed(seed))


class Swapped(ImageCPC):
    """A slip: contexts are those of the next image."""

    def contrast(self, vectors: Tensor) -> dict[str, Tensor]:
        forward, self.context.forward = self.context.forward, lambda z: forward(z).roll(1, 0)
        terms = super().contrast(vectors)
        self.context.forward = forward
        return terms


class Leaky(ImageCPC):
    """A slip that published code has had: convolutions padded on all sides see the rows below."""

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        for block in self.context.blocks:
            block[2] = nn.ZeroPad2d((1, 1, 0, 1))


def gain(model: ImageCPC, images: Callable[[int, int], Tensor]) -> float:
    """How many times as often as by chance patches are found in unseen images, after a training of seconds."""
    train(model, images, steps=40, count=24)
    with torch.no_grad():
        terms = ImageCPC.losses(model, batch(images(48, 10_000)))
    return float(terms["accuracy"] / terms["chance"])


def test_it_learns_what_goes_on_below_and_a_broken_version_does_not():
    assert gain(make(**PLAIN), stripes) > 20 and gain(make(Swapped, **PLAIN), stripes) < 6


def test_of_noise_nothing_is_found_unless_the_context_sees_below():
    apart = {**PLAIN, "overlap": 0.0, "steps": 1, "context_blocks": 1}
    assert gain(make(**apart), noise) < 6 and gain(make(Leaky, **apart), noise) > 12


def test_rows_that_overlap_are_a_cue_until_they_are_left_out():
    assert gain(make(**PLAIN, steps=1), noise) < 6 and gain(make(**PLAIN, steps=1, offset=1), noise) > 12


@torch.no_grad()
def test_a_run_at_chance_is_said_to_be():
    model = make()
    nn.init.zeros_(model.predictors.weight)
    nn.init.zeros_(model.predictors.bias)
    terms = {f"train/{name}": float(value) for name, value in model.losses(batch(noise(4, 0))).items()}
    assert any(alarm.sounds(terms) for alarm in model.alarms(4))
    assert not any(alarm.sounds(terms | {"train/gain": 0.5}) for alarm in model.alarms(4))


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match=r"without batch norm, which ResNet is not: take PatchResNet, of images\."):
        ImageCPC(ResNet(10, 8))
    with pytest.raises(InputError, match="predicts the row of patches 2 below, and images of 6 x 20 have 2 rows: set"):
        make().losses(batch(torch.rand(2, 1, 6, 20)))
    for name in ("steps", "offset", "target_dim", "context_dim", "context_blocks"):
        with pytest.raises(InputError, match=f"ImageCPC's {name} is 0; give a number of at least 1"):
            make(**{name: 0})
    with pytest.raises(InputError, match="strength is -1"):
        make(strength=-1)
