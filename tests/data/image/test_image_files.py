"""Image files of every kind that users have: deep, signed, floating, of many channels, huge, with broken tags."""

import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ssl_zoo.cli import main
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources import image_files
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.image.sources.image_files import open_image
from ssl_zoo.data.image.sources.pixels import PixelFormat, to_pixels
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from ssl_zoo.views.image import SimCLRViews

RANDOM = np.random.default_rng(0)


def read(path: Path, channels: int, **settings: object) -> torch.Tensor:
    form = PixelFormat(channels, **settings)
    return to_pixels(open_image(path, form), form, str(path))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_the_unit_interval_keep_their_values(tmp_path: Path, dtype: type) -> None:
    values = RANDOM.random((6, 7)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert np.abs(read(tmp_path / "a.tif", 1)[0].numpy() - 255 * values.astype(float)).max() <= 0.51
    assert np.array_equal(read(tmp_path / "a.tif", 1, dtype="float32")[0].numpy(), values.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint16, np.uint32, np.float32, np.float64])
def test_numbers_of_any_type_go_by_the_range_that_is_set(tmp_path: Path, dtype: type) -> None:
    low, high = (0, 100) if np.dtype(dtype).kind == "u" else (-100, 100)
    values = np.linspace(low, high, 42).reshape(6, 7).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    unit = (values.astype(float) - low) / (high - low)
    form = {"value_range": (float(low), float(high))}
    assert np.abs(read(tmp_path / "a.tif", 1, **form)[0].numpy() - 255 * unit).max() <= 0.51
    if dtype is not np.uint16:
        with pytest.raises(InputError, match=r"a.tif holds .*: set the source's `value_range`"):
            read(tmp_path / "a.tif", 1)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 5, 13])
def test_a_tiff_of_many_channels_keeps_them(tmp_path: Path, channels: int, dtype: type, planes: str) -> None:
    unit = RANDOM.random((6, 7, channels))
    values = (unit if dtype is np.float32 else unit * np.iinfo(dtype).max).astype(dtype)
    stored = values if planes == "contig" else values.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planes)
    pixels = read(tmp_path / "a.tif", channels, dtype="float32").permute(1, 2, 0).numpy()
    scale = 1 if dtype is np.float32 else np.iinfo(dtype).max
    np.testing.assert_allclose(pixels, values / scale, atol=1e-6)
    with pytest.raises(InputError, match=f"a.tif has {channels} channels and not 7: set the source's `channels` to"):
        read(tmp_path / "a.tif", 7)


def test_pages_are_channels_where_as_many_are_wanted_and_else_the_first_counts(tmp_path: Path) -> None:
    pages = RANDOM.integers(0, 256, (5, 6, 7), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    assert np.array_equal(read(tmp_path / "a.tif", 5).numpy(), pages)
    assert np.array_equal(read(tmp_path / "a.tif", 1).numpy(), pages[:1])


def test_sixteen_bits_of_colour_are_kept_where_the_user_asks(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, (6, 7, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    write_png(tmp_path / "a.png", values)
    for name in ("a.tif", "a.png"):
        kept = read(tmp_path / name, 3, dtype="float32")
        np.testing.assert_allclose(kept.permute(1, 2, 0).numpy(), values / 65535, atol=1e-6)
        assert np.array_equal(read(tmp_path / name, 3).permute(1, 2, 0).numpy(), values >> 8)
        ranged = read(tmp_path / name, 3, value_range=(0.0, 65535.0))
        assert np.abs(ranged.permute(1, 2, 0).numpy() - values / 257).max() <= 0.51


def test_transparent_areas_of_sixteen_bits_become_white(tmp_path: Path) -> None:
    values = np.zeros((2, 2, 4), dtype=np.uint16)
    values[0, 0] = [40000, 20000, 10000, 65535]
    write_png(tmp_path / "a.png", values)
    pixels = read(tmp_path / "a.png", 3, dtype="float32")
    np.testing.assert_allclose(pixels[:, 0, 0].numpy(), values[0, 0, :3] / 65535, atol=1e-6)
    assert pixels[:, 1].eq(1).all()


def write_png(path: Path, values: np.ndarray) -> None:
    """Pillow writes no colours of 16 bits."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_portable_grey_maps_have_sixteen_bits(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, (6, 7)).astype(np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 7 6 65535\n" + values.astype(">u2").tobytes())
    assert np.array_equal(read(tmp_path / "a.pgm", 1)[0].numpy(), values >> 8)
    np.testing.assert_allclose(read(tmp_path / "a.pgm", 1, dtype="float32")[0].numpy(), values / 65535, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 5), (5, 6, 7)])
def test_arrays_of_numpy_are_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = RANDOM.random(shape, dtype=np.float32)
    np.save(tmp_path / "a.npy", values)
    channels = 1 if len(shape) == 2 else 5
    expected = values.reshape(6, 7, channels).transpose(2, 0, 1) if shape[0] == 6 else values
    assert np.array_equal(read(tmp_path / "a.npy", channels, dtype="float32").numpy(), expected)


def test_an_array_that_is_no_image_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5))
    with pytest.raises(InputError, match=r"a.npy holds an array of shape \(5,\)"):
        read(tmp_path / "a.npy", 1)
    np.save(tmp_path / "b.npy", np.array(["pickled", {}], dtype=object))
    with pytest.raises(InputError, match=r"b.npy is no array that can be read"):
        read(tmp_path / "b.npy", 1)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    values = RANDOM.random((64, 64, 5), dtype=np.float32)
    if suffix == ".png":
        Image.fromarray((255 * values[..., :3]).astype(np.uint8)).save(path)
    elif suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
    else:
        np.save(path, values)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"is no (image|array) that can be read"):
        read(path, 3 if suffix == ".png" else 5)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # Pillow's, whose limit is not ours
def test_an_image_beyond_pillows_own_limit_is_read_and_one_beyond_ours_called_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (20000, 10000)).save(tmp_path / "a.png")  # Pillow calls 179 million pixels an attack
    assert open_image(tmp_path / "a.png").size == (20000, 10000)
    monkeypatch.setattr(image_files, "LIMIT", 10**8)
    with pytest.raises(InputError, match=r"a.png is too large: an image may have up to 100 million pixels"):
        open_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**7)
    with pytest.raises(InputError, match=r"a.png is too large"):
        open_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow may say what is broken
@pytest.mark.parametrize(
    "payload",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\x01\x1a\0\x05\0\0\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_broken_camera_tag_is_no_reason_to_stop(tmp_path: Path, payload: bytes) -> None:
    Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    (tmp_path / "b.jpg").write_bytes(whole[:2] + segment + whole[2:])
    assert torch.equal(read(tmp_path / "b.jpg", 3), read(tmp_path / "a.jpg", 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_to_hold_a_camera_is_set_upright(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(RANDOM.integers(0, 256, (4, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened)).transpose(2, 0, 1)
    assert np.array_equal(read(tmp_path / "a.png", 3).numpy(), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_white_image_of_any_mode_is_white(tmp_path: Path, mode: str, channels: int) -> None:
    white = Image.new("L", (3, 2), 255)
    if mode == "I;16":
        image = Image.fromarray(np.full((2, 3), 65535, dtype=np.uint16))
    elif mode == "F":
        image = Image.fromarray(np.ones((2, 3), dtype=np.float32))
    else:
        image = white.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr") else white.convert(mode)
    image.save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", channels).ge(254).all()


def test_a_folder_of_float_images_needs_the_range_and_then_is_not_black(tmp_path: Path) -> None:
    for number in range(4):
        values = RANDOM.integers(0, 221, (6, 7)).astype(np.float32)
        Image.fromarray(values).save(tmp_path / f"{number}.tif")
    everything = torch.arange(4)
    with pytest.raises(InputError, match=r"0.tif holds numbers from .* set the source's `value_range`"):
        ImageFolder(tmp_path).load().train.read(everything, 6)
    pixels = ImageFolder(tmp_path, channels=1, value_range=(0, 220)).load().train.read(everything, 6)
    assert pixels.max() == 255 and 100 < pixels.double().mean() < 155


def test_a_huge_image_is_left_out_where_the_user_skips_and_a_missing_package_never_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "LIMIT", 100)
    for number, side in enumerate([4, 20]):
        Image.fromarray(RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.warns(UserWarning, match=r"Left out 1 image file that is damaged, too large .*: .*1\.png"):
        assert len(ImageFolder(tmp_path, on_corrupt="skip").load().train) == 1
    for png in tmp_path.glob("*.png"):
        png.unlink()
    tifffile.imwrite(tmp_path / "2.tif", RANDOM.random((4, 4, 5)), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(InputError, match=r"2\.tif needs the package tifffile: install ssl_zoo\[tiff\]"):
        ImageFolder(tmp_path, channels=5, on_corrupt="skip").load()


def test_strips_dots_and_every_mode_lie_in_one_data_set(tmp_path: Path) -> None:
    for number in range(20):
        picture = Image.fromarray(RANDOM.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        picture.save(tmp_path / f"{number:02d}.png")
    Image.new("RGB", (60000, 3), (255, 0, 0)).save(tmp_path / "wide.png")
    Image.new("RGB", (3, 60000), (255, 0, 0)).save(tmp_path / "high.png")
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "dot.png")
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK"):
        picture.convert(mode).save(tmp_path / f"{mode}.tif")
    picture = picture.rotate(90)
    picture.save(tmp_path / "pages.gif", save_all=True, append_images=[picture, picture])
    data = ImageData(ImageFolder(tmp_path), image_size=24, batch_size=8)
    data.setup()
    views = SimCLRViews()
    for part in (data.train_set, data.validation_set, data.test_set):
        batch = data.for_views(part).__getitems__(list(range(len(part))))
        assert batch.inputs.shape[1:] == (3, 24, 24)
        assert views(batch.inputs, example_keys(0, 0, batch.index), batch.fields).isfinite().all()
        names = sorted(path.name for path in tmp_path.iterdir())
        for image, index in zip(batch.inputs, batch.index.tolist(), strict=True):
            if names[index] in ("wide.png", "high.png", "dot.png"):
                assert image.flatten(1).unique(dim=1).flatten().tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (1, r"\.npy holds numbers from .*: set the source's `value_range`"),
        (5, r"SimCLRViews changes colours, .* set model\.views to MultichannelViews"),
        (3, r"\.npy has 5 channels and not 3: set the source's `channels` to 5"),
    ],
)
def test_the_command_line_says_in_a_sentence_what_images_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], channels: int, message: str
) -> None:
    (tmp_path / "data").mkdir()
    for number in range(20):
        values = RANDOM.random((8, 8, 1 if channels == 1 else 5), dtype=np.float32) * (220 if channels == 1 else 1)
        np.save(tmp_path / "data" / f"{number:02d}.npy", values)
    options = [
        *("fit", "--model", "SimCLR", "--model.encoder", "MLP", "--model.views", "SimCLRViews", "--data", "ImageData"),
        *("--data.source", "ImageFolder", f"--data.source.root={tmp_path / 'data'}", "--data.image_size=8"),
        *(f"--data.source.channels={channels}", "--data.batch_size=8", "--trainer.max_steps=1"),
        *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.enable_progress_bar=false"),
        *(f"--runs_dir={tmp_path / 'runs'}",),
    ]
    with pytest.raises(SystemExit) as stopped:
        main(options)
    assert stopped.value.code == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert re.search(message, said)
