"""Two networks side by side, each with its own part of an image."""

import pytest
import torch

from ssl_zoo.encoders.lab import to_lab
from ssl_zoo.encoders.split_resnet import SplitResNet
from ssl_zoo.errors import InputError


@torch.no_grad()
def test_its_vectors_are_those_of_two_networks_side_by_side():
    torch.manual_seed(0)
    encoder, images = SplitResNet(10, 4).eval(), torch.rand(3, 3, 16, 16)
    lab = to_lab(images)
    one = encoder.lightness(lab[:, :1] / 100, layers=True)
    two = encoder.colours((lab[:, 1:] + 110) / 220, layers=True)
    found = encoder(images, layers=True)
    assert encoder.dim == 64 and len(found.layers) == 5
    torch.testing.assert_close(found.pooled, torch.cat([one.pooled, two.pooled], 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sequence, torch.cat([one.sequence, two.sequence], 2), atol=1e-5, rtol=1e-5)
    for layer, first, second in zip(found.layers, one.layers, two.layers, strict=True):
        torch.testing.assert_close(layer, torch.cat([first, second], 2), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_its_networks_see_of_all_colours_lies_in_the_unit_range():
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).T[None, :, :, None]
    pixels = SplitResNet(10, 4).embed(corners).vectors
    assert pixels.min() >= 0 and pixels.max() <= 1 + 1e-5 and pixels[..., 1:].amax(1).min() > 0.9


def test_images_without_colours_are_refused():
    with pytest.raises(InputError, match="these have 1 channels, not three: take images in colour"):
        SplitResNet(10, 4)(torch.rand(2, 1, 8, 8))
