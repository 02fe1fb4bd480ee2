"""Views of whole photographs: what crops reach, that shapes stay true, and that nothing is enlarged without need."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_zoo.randomness import draw, example_keys
from ssl_zoo.views.image import BYOLViews, DigitViews, ImageViews, MoCoV2Views, SimCLRViews
from ssl_zoo.views.image_crop import RandomResizedCrop
from ssl_zoo.views.image_whole import cut_whole

COUNT = 600


def keys(count: int = COUNT) -> Tensor:
    return example_keys(0, 0, torch.arange(count))


def cut(crop: RandomResizedCrop, whole: Tensor, aspect: Tensor, size: int) -> Tensor:
    return cut_whole(crop, size, aspect, whole, draw(keys(len(whole)), crop.numbers))


def stretched(photograph: Tensor, side: int, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """A photograph ``(C, H, W)`` as a batch of equal squares, and its aspect."""
    square = functional.interpolate(photograph[None], (side, side), mode="bilinear", antialias=True)
    return square.expand(count, -1, -1, -1), torch.full((count,), photograph.shape[2] / photograph.shape[1])


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (30, 120)])
def test_crops_reach_every_corner_of_the_photograph(height: int, width: int) -> None:
    photograph = torch.zeros(4, height, width)  # a corner a channel
    for channel, (row, column) in enumerate([(0, 0), (0, -6), (-6, 0), (-6, -6)]):
        photograph[channel, row:, column:][:6, :6] = 1.0
    crops = cut(RandomResizedCrop(), *stretched(photograph, 60), 24)
    seen = (crops.amax((2, 3)) > 0.5).float().mean(0)
    assert (seen > 0.01).all(), seen


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (60, 60)])
def test_a_square_in_the_photograph_is_a_square_in_a_view_of_true_proportions(height: int, width: int) -> None:
    photograph = torch.zeros(1, height, width)
    photograph[:, height // 2 - 12 : height // 2 + 12, width // 2 - 12 : width // 2 + 12] = 1.0
    # Only square boxes, so that the crop itself changes no proportions.
    crop = RandomResizedCrop(scale=(0.6, 0.7), ratio=(1.0, 1.0))
    crops = cut(crop, *stretched(photograph, 80), 40)[:, 0]
    rows, columns = crops.amax(2).sum(1), crops.amax(1).sum(1)
    inside = (crops[:, 0] + crops[:, -1] + crops[:, :, 0] + crops[:, :, -1]).amax(1) == 0
    assert inside.sum() > 20
    torch.testing.assert_close(rows[inside], columns[inside], atol=1.5, rtol=0)


def test_of_a_square_as_large_as_the_views_the_crops_are_those_of_plain_images() -> None:
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    crop = RandomResizedCrop(flip=0.5)
    assert torch.equal(cut(crop, images, torch.ones(64), 32), crop(images, keys(64)))


def test_a_crop_of_a_larger_stored_image_shows_what_a_small_one_has_lost() -> None:
    stripes = (torch.arange(96) // 2 % 2).float().expand(1, 96, 96)  # two pixels wide
    crop = RandomResizedCrop(scale=(0.1, 0.12), ratio=(1.0, 1.0))  # boxes of about 32 pixels
    fine = cut(crop, *stretched(stripes, 96), 32)
    coarse = cut(crop, *stretched(stripes, 32), 32)
    assert fine.std() > 0.4 and coarse.std() < 0.25


@pytest.mark.parametrize("aspect", [1e-4, 1.0, 20000.0])
@pytest.mark.parametrize("side", [1, 2, 16])
def test_strips_of_any_length_give_finite_views(aspect: float, side: int) -> None:
    crops = cut(RandomResizedCrop(), torch.rand(50, 1, side, side), torch.full((50,), aspect), 8)
    assert crops.shape == (50, 1, 8, 8) and crops.isfinite().all()


@pytest.mark.parametrize("views", [SimCLRViews(), MoCoV2Views(), BYOLViews()], ids=lambda views: type(views).__name__)
def test_recipes_cut_from_the_whole_and_give_the_size_that_encoders_see(views: ImageViews) -> None:
    inputs = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    whole = torch.full((8, 3, 24, 24), 200, dtype=torch.uint8)
    output = views(inputs, keys(8), {"whole": whole, "aspect": torch.full((8,), 4 / 3)})
    assert output.shape == (16, 3, 16, 16)
    assert output.amax((1, 2, 3)).min() > 0.1  # `inputs` is black


def test_a_recipe_without_a_crop_sees_the_middle() -> None:
    inputs = torch.full((8, 1, 16, 16), 128, dtype=torch.uint8)
    fields = {"whole": torch.zeros(8, 1, 24, 24, dtype=torch.uint8), "aspect": torch.ones(8)}
    assert torch.equal(DigitViews()(inputs, keys(8), fields), DigitViews()(inputs, keys(8)))
