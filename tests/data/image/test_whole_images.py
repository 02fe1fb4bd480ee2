"""Views are cut from whole photographs, probes see their middle, and what is square and small is kept once."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from ssl_zoo.data.image import decoded
from ssl_zoo.data.image import module as image_module
from ssl_zoo.data.image.decoded import DecodedImages
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.image.sources.digits import Digits
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from ssl_zoo.views.image import ImageViews
from ssl_zoo.views.image_crop import RandomResizedCrop

RANDOM = np.random.default_rng(0)
CORNERS = [(0, 0), (0, -30), (-30, 0), (-30, -30)]


def photographs(folder: Path, height: int, width: int, count: int = 20) -> Path:
    """Dark photographs with four bright corners: red, green, blue and white."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = RANDOM.integers(0, 30, (height, width, 3), dtype=np.uint8)
        for (row, column), colour in zip(
            CORNERS, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], strict=True
        ):
            pixels[row:, column:][:30, :30] = colour
        pixels[height // 2, width // 2] = number  # no two are copies
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def ready(source: ImageSource, **settings: object) -> ImageData:
    data = ImageData(source, **{"batch_size": 4, **settings})
    data.setup()
    return data


@pytest.mark.filterwarnings("ignore:.*decoded at every start")  # which is asked for here
@pytest.mark.parametrize("in_memory", [4 * 2**30, 0])
@pytest.mark.parametrize(("height", "width"), [(150, 200), (200, 150)])
def test_random_crops_of_a_photograph_reach_all_its_corners(
    tmp_path: Path, height: int, width: int, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_module, "IN_MEMORY_BYTES", in_memory)
    monkeypatch.setattr(decoded, "SHARE", 0.0 if in_memory == 0 else 0.5)
    data = ready(ImageFolder(photographs(tmp_path, height, width)), image_size=48)
    batch = next(iter(data.train_dataloader()))
    assert batch.inputs.shape == (4, 3, 48, 48)
    views = ImageViews([RandomResizedCrop()])
    crops = torch.cat([views(batch.inputs, example_keys(0, step, batch.index), batch.fields) for step in range(200)])
    red, green, blue = crops[:, 0] > 0.7, crops[:, 1] > 0.7, crops[:, 2] > 0.7
    corners = [red & ~green & ~blue, green & ~red & ~blue, blue & ~red & ~green, red & green & blue]
    for corner in corners:
        assert (corner.sum((1, 2)) > 48).float().mean() > 0.05
    # What an encoder sees in evaluation is the middle, whose corners are not those of the photograph.
    middle = data.train_set.__getitems__([0]).inputs[0].float() / 255
    assert ((middle > 0.7).sum((1, 2)) < 48 * 48 / 4).all()


def test_probes_see_the_shorter_side_resized_and_the_centre_cropped(tmp_path: Path) -> None:
    data = ready(ImageFolder(photographs(tmp_path, 150, 200)), image_size=48)
    usual = v2.Compose([v2.Resize(48, antialias=True), v2.CenterCrop(48)])
    for part in (data.train_set, data.validation_set, data.test_set):
        batch = part.__getitems__(list(range(len(part))))
        assert batch.fields is None
        for image, index in zip(batch.inputs, batch.index.tolist(), strict=True):
            with Image.open(tmp_path / f"{index:02d}.png") as file:
                expected = usual(torch.from_numpy(np.array(file)).permute(2, 0, 1))
            assert torch.equal(image, expected)


def test_loaders_give_the_whole_beside_what_probes_see(tmp_path: Path) -> None:
    data = ready(ImageFolder(photographs(tmp_path, 150, 200)), image_size=48, stored_size=96)
    for loader, part in ((data.train_dataloader(), data.train_set), (data.val_dataloader(), data.validation_set)):
        batch = next(iter(loader))
        assert batch.fields is not None and batch.fields["whole"].shape == (len(batch.index), 3, 96, 96)
        torch.testing.assert_close(batch.fields["aspect"], torch.full((len(batch.index),), 200 / 150))
        positions = [part.chosen.tolist().index(index) for index in batch.index.tolist()]
        assert torch.equal(batch.inputs, part.__getitems__(positions).inputs)


@pytest.mark.parametrize("views", [None, ImageViews([])])
def test_a_method_without_views_waits_for_no_whole_images(tmp_path: Path, views: ImageViews | None) -> None:
    data = ready(ImageFolder(photographs(tmp_path, 150, 200)), image_size=48)
    method = SimpleNamespace(views=views)
    data.trainer = SimpleNamespace(lightning_module=method, global_rank=0, world_size=1, training=False)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert (next(iter(loader)).fields is None) == (views is None)


def test_whole_images_take_memory_only_where_a_method_has_views(tmp_path: Path) -> None:
    data = ImageData(ImageFolder(photographs(tmp_path, 150, 200)), image_size=48, batch_size=4)
    strategy = SimpleNamespace(broadcast=lambda seed: seed)
    for views, kept in ((None, None), (ImageViews([]), 72)):
        method = SimpleNamespace(views=views)
        data.trainer = SimpleNamespace(
            lightning_module=method, global_rank=0, world_size=1, training=False, strategy=strategy
        )
        data.setup()  # a second time for a method that needs more than the one before
        assert isinstance(data.train_set.images, DecodedImages) and data.train_set.images.kept == kept
        assert (next(iter(data.train_dataloader())).fields is None) == (views is None)


@pytest.mark.parametrize(
    ("height", "width", "image_size", "stored_size", "expected"),
    [
        (150, 200, 48, None, 72),  # half as much again
        (50, 60, 48, None, 60),  # no more than the images have
        (30, 40, 48, None, 48),  # and no less than an encoder sees
        (150, 200, 48, 48, 48),
        (150, 200, 48, 130, 130),
        (64, 64, 48, None, 64),
    ],
)
def test_how_large_whole_images_are_kept(
    tmp_path: Path, height: int, width: int, image_size: int, stored_size: int | None, expected: int
) -> None:
    data = ready(ImageFolder(photographs(tmp_path, height, width)), image_size=image_size, stored_size=stored_size)
    batch = next(iter(data.train_dataloader()))
    assert batch.fields is not None and batch.fields["whole"].shape[-1] == expected


def test_a_crop_is_not_enlarged_where_the_stored_image_is_larger(tmp_path: Path) -> None:
    stripes = np.zeros((192, 256, 3), dtype=np.uint8)
    stripes[:, np.arange(256) // 4 % 2 == 0] = 255  # four pixels wide: with 48 pixels a side no longer to be seen
    for number in range(20):
        stripes[0, 0] = number  # no two are copies
        Image.fromarray(stripes).save(tmp_path / f"{number:02d}.png")
    views = ImageViews([RandomResizedCrop(scale=(0.05, 0.06), ratio=(1.0, 1.0))])  # about 50 pixels of the photograph
    spread = {}
    for stored_size in (48, 256):
        data = ready(ImageFolder(tmp_path), image_size=48, stored_size=stored_size)
        batch = next(iter(data.train_dataloader()))
        spread[stored_size] = float(views(batch.inputs, example_keys(0, 0, batch.index), batch.fields).std(3).mean())
    assert spread[256] > 0.4 > 0.2 > spread[48]


class Squares(ImageSource):
    """Square images of one size, in memory."""

    name, licence, channels, image_size = "Squares", "none", 3, 32

    def load(self) -> LoadedImages:
        pixels = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return LoadedImages(ArrayImages(pixels, torch.arange(40) % 2), None, None, ["a", "b"])


@pytest.mark.parametrize("source", [Squares(), Digits()])
@pytest.mark.parametrize("factor", [1, 2])
def test_squares_no_larger_than_what_an_encoder_sees_are_kept_once(source: ImageSource, factor: int) -> None:
    data = ready(source, image_size=factor * source.image_size)
    assert next(iter(data.train_dataloader())).fields is None
    assert data.train_dataloader().dataset is data.pretrain_set


@pytest.mark.filterwarnings("ignore:.*decoded at every start")  # which is asked for here
def test_files_that_are_square_and_small_train_as_the_same_images_in_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Squares().load().train
    for number in range(40):
        Image.fromarray(images.original(number).permute(1, 2, 0).numpy()).save(tmp_path / f"{number:02d}.png")
    views = ImageViews([RandomResizedCrop(flip=0.5)])
    found = []
    for in_memory in (4 * 2**30, 0):
        monkeypatch.setattr(image_module, "IN_MEMORY_BYTES", in_memory)
        monkeypatch.setattr(decoded, "SHARE", 0.0 if in_memory == 0 else 0.5)
        monkeypatch.setattr(decoded, "CACHE", tmp_path.with_name(f"{tmp_path.name}-{in_memory}"))
        data = ready(ImageFolder(tmp_path), image_size=32)
        batch = data.for_views(data.train_set).__getitems__([3, 1, 2])
        assert (batch.fields is None) == (in_memory > 0)
        found.append(views(batch.inputs, example_keys(0, 0, batch.index), batch.fields))
        assert torch.equal(batch.inputs, images.read(batch.index, 32))
    assert torch.equal(*found)


def test_whole_images_smaller_than_what_an_encoder_sees_are_refused() -> None:
    with pytest.raises(InputError, match="stored_size is 20: it must be at least the image_size of 32"):
        ImageData(Squares(), stored_size=20)


def test_images_of_twelve_bits_in_sixteen_are_not_black_in_silence(tmp_path: Path) -> None:
    for number in range(20):
        values = RANDOM.integers(0, 4096, (16, 16)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"{number:02d}.png")
    with pytest.warns(UserWarning, match="are nearly black: .* Set the source's `value_range`"):
        ready(ImageFolder(tmp_path, channels=1), image_size=16)
    with warnings.catch_warnings(action="error"):
        data = ready(ImageFolder(tmp_path, channels=1, value_range=(0, 4095)), image_size=16)
    assert data.train_set.__getitems__([0]).inputs.max() > 200


def test_a_value_range_that_makes_all_images_white_is_named(tmp_path: Path) -> None:
    for number in range(20):
        np.save(tmp_path / f"{number:02d}.npy", RANDOM.integers(2000, 22000, (16, 16), dtype=np.int32))
    with pytest.warns(UserWarning, match="are nearly white: .* Set the source's `value_range`"):
        ready(ImageFolder(tmp_path, channels=1, value_range=(0, 1)), image_size=16)
    with warnings.catch_warnings(action="error"):
        ready(ImageFolder(tmp_path, channels=1, value_range=(0, 22000)), image_size=16)


def test_deep_images_of_many_channels_stay_deep(tmp_path: Path) -> None:
    values = RANDOM.random((20, 12, 16, 6), dtype=np.float32)
    for number, image in enumerate(values):
        np.save(tmp_path / f"{number:02d}.npy", image)
    data = ready(ImageFolder(tmp_path, channels=6, dtype="float32"), image_size=12, stored_size=12)
    batch = next(iter(data.train_dataloader()))
    assert (data.channels, batch.inputs.shape, batch.inputs.dtype) == (6, (4, 6, 12, 12), torch.float32)
    expected = torch.from_numpy(values[batch.index][:, :, 2:14]).permute(0, 3, 1, 2)
    assert torch.equal(batch.inputs, expected)
