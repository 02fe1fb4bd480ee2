"""Colorization against plain loops, and a toy whose colours follow from what is seen in grey."""

import math

import pytest
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.lab import to_lab, to_rgb
from ssl_zoo.encoders.split_resnet import SplitResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.colorization import Colorization
from ssl_zoo.optim import Optimizer
from ssl_zoo.targets.colours import soft_bins
from ssl_zoo.views.image import SimCLRViews
from tests.methods.layouts import train


def batch(images: Tensor) -> Batch:
    return Batch(images, None, None, torch.arange(len(images)))


def fit(model: Colorization, images: Tensor) -> Colorization:
    """Measures how frequent colours are, as the callback does."""
    (once,) = model.refits()
    vectors, valid = once.collect(batch(images))
    once.use(once.fit(vectors[valid]))
    assert not model.refits()
    return model


@torch.no_grad()
@pytest.mark.parametrize("cells", [1, 3])
def test_the_loss_by_plain_loops_over_places(cells):
    torch.manual_seed(0)
    images = torch.rand(3, 3, 12, 12)
    model = fit(Colorization(ViT(12, 6, dim=16, depth=1, heads=2), cells=cells), images).eval()
    model.head.weight.mul_(5)
    bins, side, nats, right = model.bins.tolist(), 12 // (2 * cells), [], []
    for image in images:
        lab = to_lab(image[None])[0]
        seen = (lab[:1] / 100).expand(3, -1, -1)
        places = model.encoder(seen[None]).sequence[0]
        for row in range(2 * cells):
            for column in range(2 * cells):
                part = lab[1:, row * side : (row + 1) * side, column * side : (column + 1) * side]
                colour = part.mean((1, 2)).tolist()
                place = places[row // cells * 2 + column // cells]
                first = (row % cells * cells + column % cells) * len(bins)
                logits = (
                    model.head.weight[first : first + len(bins)] @ place + model.head.bias[first : first + len(bins)]
                )
                distances = [math.dist(colour, bin) for bin in bins]
                nearest = sorted(range(len(bins)), key=distances.__getitem__)[:5]
                shares = [math.exp(-(distances[each] ** 2) / 50) for each in nearest]
                scores = logits.double().log_softmax(0)
                loss = -sum(share * float(scores[each]) for share, each in zip(shares, nearest, strict=True)) / sum(
                    shares
                )
                nats.append(float(model.weights[nearest[0]]) * loss)
                right.append(int(scores.argmax()) == nearest[0])
    terms = model.losses(batch(images))
    assert len(nats) == 12 * cells**2 and float(terms["loss"]) == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(right) / len(right))
    assert float(terms["of_constant"]) == pytest.approx(sum(nats) / len(nats) / float(model.constant), rel=1e-5)


@torch.no_grad()
def test_no_colour_reaches_the_encoder_in_training_pictures_or_evaluation():
    model = Colorization(ResNet(10, 8)).eval()
    images = torch.rand(4, 3, 16, 16)
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for see in (model.losses, model.encode, model.pictures, model.refits()[0].collect):
        see(batch(images))
    assert len(seen) == 4
    for each in seen:
        assert torch.equal(each[:, 0], each[:, 1]) and torch.equal(each[:, 0], each[:, 2])
    lightness = to_lab(images)[:, 0] / 100
    torch.testing.assert_close(seen[1][:, 0], lightness)


@torch.no_grad()
def test_the_constant_is_the_loss_of_the_best_prediction_that_ignores_the_image():
    images = two_kinds(64, 0)
    model = fit(Colorization(MLP([4], 3, 8), cells=1), images)
    mass = [1e-9] * len(model.bins)
    for image in to_lab(images):
        weights, numbers = (each[0].tolist() for each in soft_bins(image[1:].mean((1, 2))[None], model.bins))
        for weight, number in zip(weights, numbers, strict=True):
            mass[number] += weight * float(model.weights[numbers[0]])
    model.head.weight.zero_()
    best = torch.tensor(mass).log()
    for change in (0.0, 0.3, -0.3):
        model.head.bias.copy_(best + change * torch.randn(len(best), generator=torch.Generator().manual_seed(0)))
        loss = float(model.losses(batch(images))["loss"])
        assert (loss == pytest.approx(float(model.constant), rel=1e-4)) == (
            change == 0
        ) and loss > 0.999 * model.constant


def two_kinds(count: int, seed: int) -> Tensor:
    """Images ``(N, 3, 8, 8)``: noise is red and stripes are blue, equally light."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (count, 1, 1), generator=generator)
    noise = torch.rand(count, 8, 8, generator=generator)
    stripes = (torch.arange(8) % 2).float().expand(count, 8, 8)
    lightness = 30 + 30 * torch.where(kind == 0, noise, stripes)
    colours = torch.where(kind[..., None] == 0, torch.tensor([40.0, 30]), torch.tensor([20.0, -50]))
    lab = torch.cat([lightness[:, None], colours.permute(0, 3, 1, 2).expand(-1, -1, 8, 8)], 1)
    return to_rgb(lab)


class OtherImages(Colorization):
    """A slip: colours are those of another image."""

    def colours(self, lab: Tensor, side: int) -> Tensor:
        return super().colours(lab, side).roll(1, 0)


def test_it_learns_which_colours_things_have_and_from_other_images_it_does_not():
    found = {}
    for kind in (Colorization, OtherImages):
        torch.manual_seed(0)
        model = kind(MLP([64], 3, 8), cells=1, optimizer=Optimizer(learning_rate=1e-2))
        train(fit(model, two_kinds(64, 0)), two_kinds, steps=60)
        with torch.no_grad():
            found[kind] = Colorization.losses(model, batch(two_kinds(64, 99)))
    assert float(found[Colorization]["of_constant"]) < 0.9 < float(found[OtherImages]["of_constant"])
    assert float(found[Colorization]["accuracy"]) > 0.9 > 0.7 > float(found[OtherImages]["accuracy"])


@torch.no_grad()
def test_pictures_give_images_the_colours_that_are_predicted():
    torch.manual_seed(0)
    images = two_kinds(6, 0)
    model = fit(Colorization(MLP([8], 3, 8)), images).eval()
    red = int((model.bins - torch.tensor([40.0, 30])).norm(dim=1).argmin())
    model.head.weight.zero_()
    model.head.bias.copy_(20 * torch.nn.functional.one_hot(torch.tensor([red] * 4), len(model.bins)).flatten())
    rows, width, names = model.pictures(batch(images))["colours"]
    grey, coloured, true = rows.split(width)
    assert len(names) == 3 and torch.equal(true, images)
    torch.testing.assert_close(grey[:, :1].expand_as(grey), grey, atol=2e-3, rtol=0)
    is_red = to_lab(images)[:, 1, 0, 0] > 30
    assert is_red.any() and not is_red.all()
    torch.testing.assert_close(coloured[is_red], images[is_red], atol=0.02, rtol=0)
    assert (to_lab(coloured)[:, 1:].mean((2, 3)) - torch.tensor([40.0, 30])).abs().max() < 4


@torch.no_grad()
def test_views_are_predicted_where_there_are_some():
    model = fit(Colorization(ResNet(10, 8), SimCLRViews(strength=0.0)), torch.rand(4, 3, 16, 16)).eval()
    images = batch(torch.rand(4, 3, 16, 16))
    seen = model.make_views(images).inputs
    model.views = None
    assert float(Colorization.losses(model, batch(seen))["loss"]) == pytest.approx(
        lost_with_views(model, images), rel=1e-5
    )


def lost_with_views(model: Colorization, images: Batch) -> float:
    model.views = SimCLRViews(strength=0.0)
    return float(model.losses(images)["loss"])


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="images of 1 channels have none: take images of three"):
        Colorization(ResNet(10, 8, channels=1))
    with pytest.raises(InputError, match="half of SplitResNet sees colours alone: take an encoder of whole images"):
        Colorization(SplitResNet(10, 4))
    with pytest.raises(InputError, match="AudioResNet reads spectrograms"):
        Colorization(AudioResNet(10, 8))
    for settings in ({"mixed": 0.0}, {"mixed": 1.5}, {"temperature": 0.0}):
        with pytest.raises(InputError, match="give a part above 0 and up to 1"):
            Colorization(ResNet(10, 8), **settings)
    grey = torch.rand(4, 1, 16, 16).expand(-1, 3, -1, -1)
    with pytest.raises(InputError, match="the training images have none, though they have three channels"):
        fit(Colorization(ResNet(10, 8)), grey)
    with pytest.raises(InputError, match="has 2 of these images: set"):
        Colorization(ResNet(10, 8)).losses(batch(torch.rand(2, 3, 8, 16)))
