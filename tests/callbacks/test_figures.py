"""Pictures of images that are no plain colour squares."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.figures import as_colours, draw_images, shown
from ssl_zoo.callbacks.generation import save


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
def test_images_of_any_number_of_channels_can_be_drawn(tmp_path: Path, channels: int) -> None:
    images = torch.rand(3, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    draw_images(images, images.repeat(2, 1, 1, 1), tmp_path / "views.png")
    save(images, 3, tmp_path / "samples.png")
    for name in ("views.png", "samples.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.mode == "RGB"
    drawn = as_colours(images)
    assert torch.equal(drawn, images[:, :3] if channels != 2 else images.mean(1, keepdim=True))


@pytest.mark.parametrize(("aspect", "box"), [(2.0, (4, 12, 0, 16)), (0.5, (0, 16, 4, 12)), (1.0, (0, 16, 0, 16))])
def test_a_whole_photograph_is_shown_in_its_proportions_on_white(aspect: float, box: tuple[int, int, int, int]) -> None:
    fields = {"whole": torch.zeros(1, 3, 24, 24, dtype=torch.uint8), "aspect": torch.tensor([aspect])}
    batch = Batch(torch.full((1, 3, 16, 16), 99, dtype=torch.uint8), None, None, torch.arange(1), fields)
    expected = torch.ones(1, 3, 16, 16)
    top, bottom, left, right = box
    expected[:, :, top:bottom, left:right] = 0
    assert torch.equal(shown(batch, 16), expected)
    assert shown(batch._replace(fields=None), 16).eq(99 / 255).all()
