import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo.data.sources.folder import open_image
from ssl_zoo.data.sources.pixels import resize, to_pixels


def through_file(image: Image.Image, folder: Path, **settings: object) -> Image.Image:
    image.save(folder / "image.png", **settings)
    return open_image(folder / "image.png")


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    image = through_file(Image.fromarray(grey), tmp_path)
    assert np.array_equal(to_pixels(image, 1).numpy(), grey[None])
    assert np.array_equal(to_pixels(image, 3).numpy(), np.stack([grey] * 3))


def test_colour_becomes_grey_by_the_luma_weights(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    grey = to_pixels(through_file(Image.fromarray(colour), tmp_path), 1)[0].numpy()
    assert np.abs(colour @ [0.299, 0.587, 0.114] - grey).max() <= 1


def test_transparent_areas_become_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[0, 0] = [200, 100, 50, 255]
    rgba[1, 1] = [0, 0, 0, 128]
    pixels = to_pixels(through_file(Image.fromarray(rgba), tmp_path), 3)
    assert pixels[:, 0, 0].tolist() == [200, 100, 50]
    assert (pixels[:, 1, 1].int() - 127).abs().max() <= 1
    assert pixels[:, 2:].eq(255).all()


@pytest.mark.parametrize("transparency", [None, b"\x00\xff"])
def test_palettes_give_their_colours(tmp_path: Path, transparency: bytes | None) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    settings = {} if transparency is None else {"transparency": transparency}
    with warnings.catch_warnings(action="error"):
        pixels = to_pixels(through_file(image, tmp_path, **settings), 3)
    first = [10, 20, 30] if transparency is None else [255, 255, 255]
    assert pixels.permute(1, 2, 0).tolist() == [[first, [40, 50, 60]]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    image = through_file(Image.fromarray(np.array([[0, 256, 32768, 65535]], dtype=np.uint16)), tmp_path)
    assert to_pixels(image, 1).flatten().tolist() == [0, 1, 128, 255]


def test_camera_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("L", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter turn
    assert to_pixels(through_file(image, tmp_path, exif=exif), 1).shape == (1, 4, 2)


def test_resize_crops_the_middle_of_the_longer_side() -> None:
    images = torch.zeros(1, 1, 8, 24, dtype=torch.uint8)
    images[..., 8:16] = 200
    assert resize(images, 8).eq(200).all()
    assert resize(images.mT, 4)[..., 1:3, :].eq(200).all()  # the filter blends the borders of the middle third
    assert resize(images, 5).shape == (1, 1, 5, 5)


def test_resize_averages_instead_of_skipping_pixels() -> None:
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., torch.arange(64) % 8 < 2] = 200
    assert (resize(stripes, 8).float().mean() - 50).abs() <= 10


def test_the_right_size_is_left_alone() -> None:
    images = torch.randint(0, 256, (2, 3, 6, 6), dtype=torch.uint8)
    assert resize(images, 6) is images
