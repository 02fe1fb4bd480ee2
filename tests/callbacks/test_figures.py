"""Pictures of images that are no plain colour squares."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo.callbacks.figures import draw_images
from ssl_zoo.callbacks.pictures import save
from ssl_zoo.data.image.photographs import shown
from ssl_zoo.data.pictures import as_colours


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
def test_images_of_any_number_of_channels_can_be_drawn(tmp_path: Path, channels: int) -> None:
    images = torch.rand(3, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    draw_images(as_colours(images), as_colours(images).repeat(2, 1, 1, 1), "images", tmp_path / "views.png")
    save((images, 3), tmp_path / "samples.png")
    for name in ("views.png", "samples.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.mode == "RGB"
    drawn = as_colours(images)
    expected = images[:, :3] if channels > 2 else images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.equal(drawn, expected)


def test_the_rows_of_a_picture_have_their_names_beside_them(tmp_path: Path) -> None:
    white = torch.ones(4, 3, 32, 32)
    draw_images(white[:2], white, "photographs", tmp_path / "views.png")
    with Image.open(tmp_path / "views.png") as picture:
        drawn = np.asarray(picture.convert("L"))
    margin = drawn.shape[1] - 3 * (2 * 34 + 2)  # images of 32 pixels with a frame of 2, three times as large
    assert margin > 60 and drawn.shape[0] == 3 * (3 * 34 + 2)
    for row in range(3):  # each name stands beside the middle of its row
        beside = drawn[3 * 34 * row : 3 * 34 * (row + 1), :margin]
        (places,) = np.nonzero((beside < 128).any(1))
        assert len(places) and 30 < places.mean() < 75
    assert drawn[:, margin:].min() == 255


@pytest.mark.parametrize(("aspect", "box"), [(2.0, (4, 12, 0, 16)), (0.5, (0, 16, 4, 12)), (1.0, (0, 16, 0, 16))])
def test_a_whole_photograph_is_shown_in_its_proportions_on_white(aspect: float, box: tuple[int, int, int, int]) -> None:
    fields = {"whole": torch.zeros(1, 3, 24, 24, dtype=torch.uint8), "aspect": torch.tensor([aspect])}
    inputs = torch.full((1, 3, 16, 16), 99, dtype=torch.uint8)
    expected = torch.ones(1, 3, 16, 16)
    top, bottom, left, right = box
    expected[:, :, top:bottom, left:right] = 0
    assert torch.equal(shown(inputs, fields), expected)
    assert shown(inputs, None).eq(99 / 255).all()
