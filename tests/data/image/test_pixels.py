import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo.data.image.sources import pixels as pixels_module
from ssl_zoo.data.image.sources.image_files import open_image
from ssl_zoo.data.image.sources.pixels import Decoded, PixelFormat, resize, stretch
from ssl_zoo.data.image.sources.pixels import to_pixels as numbers_of
from ssl_zoo.errors import InputError


def through_file(image: Image.Image, folder: Path, **settings: object) -> Decoded:
    image.save(folder / "image.png", **settings)
    return open_image(folder / "image.png")


def to_pixels(image: Decoded, channels: int, **settings: object) -> torch.Tensor:
    return numbers_of(image, PixelFormat(channels, **settings), "here.tif")


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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_areas_become_white_strip_by_strip_as_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, channels: int
) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
    image = Image.fromarray(numbers)
    if mode == "P":
        image = image.convert("RGB").quantize(16)
        image.info["transparency"] = bytes(range(0, 256, 16))
    image = image if mode == "P" else image.convert(mode)
    wanted = Image.alpha_composite(Image.new("RGBA", (5, 7), "white"), image.convert("RGBA"))
    monkeypatch.setattr(pixels_module, "_STRIP", 10)
    made = to_pixels(through_file(image, tmp_path), channels).permute(1, 2, 0).numpy()
    assert np.array_equal(made.squeeze(), np.asarray(wanted.convert("L" if channels == 1 else "RGB")))


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


def test_stretch_shows_all_of_an_image_of_any_proportions() -> None:
    images = torch.zeros(1, 1, 8, 24, dtype=torch.uint8)
    images[..., :4] = 200
    stretched = stretch(images, 12)
    assert stretched.shape == (1, 1, 12, 12)
    assert stretched[..., :1].eq(200).all() and stretched[..., 3:].eq(0).all()
    square = torch.randint(0, 256, (2, 3, 6, 6), dtype=torch.uint8)
    assert stretch(square, 6) is square


def test_the_middle_of_a_very_long_strip_is_the_same_as_of_the_whole_resized() -> None:
    strip = torch.randint(0, 256, (1, 1, 4, 4000), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(strip, (8, 8000), mode="bilinear", antialias=True)
    assert torch.equal(resize(strip, 8), whole[..., 3996:4004])


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        (np.float32([0, 0.5, 1]), {}, [0, 128, 255]),
        (np.float64([0, 0.5, 1]), {"dtype": "float32"}, [0, 0.5, 1]),
        (np.float32([0, 100, 400]), {"value_range": (0.0, 200.0)}, [0, 128, 255]),
        (np.uint16([0, 1, 65535]), {"dtype": "float32"}, [0, 1 / 65535, 1]),
        (np.uint16([0, 1000, 4000]), {"value_range": (0.0, 4000.0)}, [0, 64, 255]),
        (np.int16([-1000, 0, 1000]), {"value_range": (-1000.0, 1000.0)}, [0, 128, 255]),
        (np.int32([0, 50, 100]), {"value_range": (0.0, 100.0), "dtype": "float32"}, [0, 0.5, 1]),
        (np.uint32([0, 2**31, 2**32 - 1]), {"value_range": (0.0, 2.0**32)}, [0, 128, 255]),
        (np.uint8([0, 5, 10]), {"value_range": (0.0, 10.0)}, [0, 128, 255]),
        (np.uint8([0, 51, 255]), {"dtype": "float32"}, [0, 0.2, 1]),
        (np.array([False, True, True]), {}, [0, 255, 255]),
    ],
)
def test_values_of_any_type_are_scaled_by_their_type_or_by_the_range(
    values: np.ndarray, settings: dict[str, object], expected: list[float]
) -> None:
    pixels = to_pixels(values[None, :, None], 1, **settings)
    assert pixels.dtype == (torch.float32 if settings.get("dtype") == "float32" else torch.uint8)
    torch.testing.assert_close(pixels.flatten().double(), torch.tensor(expected).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.float32([0, 220]), r"here.tif holds numbers from 0 to 220: set the source's `value_range`"),
        (np.float32([-0.5, 1]), r"numbers from -0.5 to 1: set the source's `value_range`"),
        (np.int32([0, 9999]), r"whole numbers of type int32 from 0 to 9999: set the source's `value_range`"),
        (np.uint32([0, 9999]), r"type uint32 from 0 to 9999: set the source's `value_range`"),
        (np.int16([-1000, 3000]), r"type int16 from -1000 to 3000: set the source's `value_range`"),
        (np.float32([0, np.nan]), "here.tif holds values that are no finite numbers"),
        (np.float32([0, np.inf]), "here.tif holds values that are no finite numbers"),
    ],
)
def test_values_that_no_setting_explains_are_refused_and_never_black(values: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_pixels(values[None, :, None], 1)


def test_any_number_of_channels_is_kept_and_a_wrong_one_is_named() -> None:
    five = np.random.default_rng(0).integers(0, 256, (4, 3, 5), dtype=np.uint8)
    assert np.array_equal(to_pixels(five, 5).numpy(), five.transpose(2, 0, 1))
    for channels in (1, 3, 4):
        with pytest.raises(InputError, match=r"here.tif has 5 channels and not .*set the source's `channels` to 5"):
            to_pixels(five, channels)


def test_four_bands_of_a_file_are_four_channels_where_the_user_asks_for_them(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (4, 3, 4), dtype=np.uint8)
    assert np.array_equal(
        to_pixels(through_file(Image.fromarray(bands), tmp_path), 4).numpy(), bands.transpose(2, 0, 1)
    )


@pytest.mark.parametrize("settings", [{"channels": 0}, {"dtype": "uint16"}, {"value_range": (3.0, 3.0)}])
def test_a_format_that_cannot_be_is_named(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(settings))} is "):
        PixelFormat(**settings).check()


def test_a_mode_that_is_no_colour_is_named() -> None:
    with pytest.raises(InputError, match=r"here.tif has colours of the mode LAB"):
        to_pixels(Image.new("LAB", (2, 2)), 1)
