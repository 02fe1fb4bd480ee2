"""CMC against plain loops, and a toy whose colours follow from its lightness."""

import math

import pytest
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.encoders.lab import to_lab, to_rgb
from ssl_zoo.encoders.split_resnet import SplitResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.cmc import CMC
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import SimCLRViews
from tests.methods.layouts import train


def batch(images: Tensor) -> Batch:
    return Batch(images, None, None, torch.arange(len(images)))


def halves(model: CMC, image: Tensor) -> tuple[list[float], list[float]]:
    """Both projections of one image, by the two networks one after the other."""
    lab = to_lab(image[None])
    vectors = (model.encoder.lightness(lab[:, :1] / 100), model.encoder.colours((lab[:, 1:] + 110) / 220))
    return tuple(head(each.pooled)[0].tolist() for head, each in zip(model.heads, vectors, strict=True))


def by_loops(pairs: list[tuple[list[float], list[float]]], temperature: float) -> tuple[float, float]:
    """The loss of pairs of vectors, and how often the other half is the nearest."""

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    nats, right = 0.0, 0
    for this, other in ((0, 1), (1, 0)):
        for number, pair in enumerate(pairs):
            scores = [cosine(pair[this], each[other]) / temperature for each in pairs]
            nats += math.log(sum(map(math.exp, scores))) - scores[number]
            right += scores.index(max(scores)) == number
    return nats / len(pairs), right / (2 * len(pairs))


@torch.no_grad()
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_loss_by_plain_loops_over_images_both_ways(temperature):
    torch.manual_seed(0)
    model, images = CMC(SplitResNet(10, 4), temperature=temperature, projection_dim=7).eval(), torch.rand(6, 3, 16, 16)
    loss, right = by_loops([halves(model, image) for image in images], temperature)
    terms = model.losses(batch(images))
    assert float(terms["loss"]) == pytest.approx(loss, abs=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(right)


@torch.no_grad()
def test_copies_that_views_make_of_an_image_are_no_negatives_of_each_other():
    torch.manual_seed(0)
    model = CMC(SplitResNet(10, 4), SimCLRViews(strength=0.0, blur=0.0), projection_dim=7).eval()
    images = batch(torch.rand(5, 3, 16, 16))
    pairs = [halves(model, image) for image in model.make_views(images).inputs]
    apart = [by_loops(part, 0.07)[0] for part in (pairs[:5], pairs[5:])]
    assert float(model.losses(images)["loss"]) == pytest.approx(sum(apart) / 2, abs=1e-5)
    assert by_loops(pairs, 0.07)[0] > sum(apart) / 2 + 0.1


def test_both_networks_learn_from_either_way_and_at_chance_the_loss_is_what_it_says():
    torch.manual_seed(0)
    model, images = CMC(SplitResNet(10, 4), projection_dim=7), batch(torch.rand(6, 3, 16, 16))
    model.losses(images)["loss"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    for head in model.heads:
        torch.nn.init.zeros_(head.weight)
    assert float(model.losses(images)["loss"].detach()) == pytest.approx(model.chance_loss(6), abs=1e-5)


def tinted(count: int, seed: int) -> Tensor:
    """Images ``(N, 3, 8, 8)`` of noise, the darker the redder and the lighter the bluer."""
    generator = torch.Generator().manual_seed(seed)
    shade = torch.rand(count, 1, 1, 1, generator=generator)
    noise = torch.rand(count, 1, 8, 8, generator=generator)
    colours = torch.tensor([40.0, 40]).view(2, 1, 1) * (1 - 2 * shade)
    return to_rgb(torch.cat([30 + 40 * shade + 5 * noise, colours.expand(-1, 2, 8, 8)], 1))


class OtherImages(CMC):
    """A slip: colours are contrasted with another image's lightness."""

    def projections(self, images: Tensor) -> tuple[Tensor, Tensor]:
        lightness, colours = super().projections(images)
        return lightness, colours.roll(1, 0)


def test_it_learns_which_colours_go_with_which_lightness_and_from_other_images_it_does_not():
    found = {}
    for kind in (CMC, OtherImages):
        torch.manual_seed(0)
        model = kind(SplitResNet(10, 4), projection_dim=8, optimizer=Optimizer(learning_rate=1e-2))
        train(model, tinted, steps=30, count=32)
        with torch.no_grad():
            found[kind] = CMC.projections(model, tinted(32, 99))
    ranks = {}
    for kind, (lightness, colours) in found.items():
        near = torch.cosine_similarity(lightness[:, None], colours[None], dim=2)
        ranks[kind] = float((near > near.diagonal()[:, None]).float().mean())  # a half where it has learnt nothing
    assert ranks[CMC] < 0.2 and ranks[OtherImages] > 0.4


@torch.no_grad()
def test_images_without_colours_sound_an_alarm():
    model, images = CMC(SplitResNet(10, 4)), tinted(4, 0)
    (alarm,) = (each for each in model.alarms(4) if each.metric == "train/colour")
    grey = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    for kind in (lambda x: x, lambda x: (255 * x).round().byte()):
        colour, none = (model.losses(batch(kind(each)))["colour"].item() for each in (images, grey))
        assert colour == pytest.approx((images.amax(1) - images.amin(1)).mean().item(), abs=0.01)
        assert not alarm.sounds({alarm.metric: colour}) and alarm.sounds({alarm.metric: none})


def test_pictures_show_the_colours_that_were_found():
    torch.manual_seed(0)
    model, images = CMC(SplitResNet(10, 4), projection_dim=7).eval(), torch.rand(6, 3, 16, 16)
    first, second = (torch.tensor(each) for each in zip(*(halves(model, image) for image in images), strict=True))
    nearest = torch.cosine_similarity(first[:, None], second[None], dim=2).argmax(1)
    rows, width, names = model.pictures(batch(images))["matched"]
    grey, own, chosen = rows.split(width)
    assert width == 6 and len(names) == 3
    torch.testing.assert_close(grey[:, :1].expand_as(grey), grey, atol=2e-3, rtol=0)
    assert torch.equal(chosen, own[nearest])
    torch.testing.assert_close(to_lab(grey)[:, 0], to_lab(images)[:, 0], atol=0.1, rtol=0)


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="ResNet is one network: take SplitResNet"):
        CMC(ResNet(10, 8))
    with pytest.raises(InputError, match=r"temperature is 0\.0; give a number above 0"):
        CMC(SplitResNet(10, 4), temperature=0.0)
    with pytest.raises(InputError, match="projection_dim is 0"):
        CMC(SplitResNet(10, 4), projection_dim=0)
