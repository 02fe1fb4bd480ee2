"""Photographs are decoded once for all runs, into files of the cache."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.image import decoded
from ssl_zoo.data.image.decoded import DecodedImages
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources import folder as image_folder
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.errors import InputError


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setattr(decoded, "CACHE", tmp_path / "cache" / "images")
    monkeypatch.setattr(image_folder, "CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "images"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    for number in range(24):
        path = tmp_path / "data" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = draw.integers(9, 40, 2)
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def ready(root: Path, **settings: object) -> ImageData:
    data = ImageData(ImageFolder(root, **settings), image_size=12, batch_size=4)  # type: ignore[arg-type]  # settings are of several types
    data.setup()
    return data


def everything(data: ImageData) -> list[Tensor]:
    """What encoders and views see of all parts, and the labels."""
    found: list[Tensor] = []
    for part in (data.train_set, data.validation_set, data.test_set):
        batch: Batch = data.for_views(part).__getitems__(list(range(len(part))))
        assert batch.fields is not None and batch.labels is not None
        found += [batch.inputs, batch.labels, batch.index, *batch.fields.values()]
    return found


def refuse(*_: object) -> None:
    raise AssertionError("an image file was decoded")


def test_kept_images_are_what_decoding_into_memory_gives(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):  # decoded, and found again
        kept = ready(photographs)
        assert isinstance(kept.train_set.images, DecodedImages)
    monkeypatch.setattr(decoded, "SHARE", 0.0)
    shutil.rmtree(decoded.CACHE)
    with pytest.warns(
        UserWarning, match=r"not kept, as they would take 0\.0 GB of the .* set the environment's SSL_ZOO"
    ):
        in_memory = ready(photographs)
    assert not isinstance(in_memory.train_set.images, DecodedImages)
    assert list(decoded.CACHE.iterdir()) == [next(decoded.CACHE.glob("*.lock"))], "nothing half-made is left"
    for one, other in zip(everything(kept), everything(in_memory), strict=True):
        assert torch.equal(one, other)


def test_a_second_start_decodes_nothing(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = everything(ready(photographs, on_corrupt="skip"))
    monkeypatch.setattr(image_folder, "open_image", refuse)
    for one, other in zip(first, everything(ready(photographs, on_corrupt="skip")), strict=True):
        assert torch.equal(one, other)
    elsewhere = photographs.rename(photographs.with_name("moved"))  # data is what it contains
    assert torch.equal(everything(ready(elsewhere, on_corrupt="skip"))[0], first[0])
    with pytest.raises(AssertionError, match="was decoded"):
        ready(elsewhere, on_corrupt="skip", channels=1)


@pytest.mark.parametrize("much", [False, True])
def test_a_changed_file_is_seen(photographs: Path, much: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl_zoo.data.sources import contents

    if much:  # too much to be read for a digest, so that sizes and times have to do
        monkeypatch.setattr(contents, "READ_BYTES", 0)
        monkeypatch.setattr(contents, "SAMPLED_BYTES", 8)
    black = np.zeros((20, 20, 3), dtype=np.uint8)
    path = photographs / "cat" / "1.bmp"  # of a size that does not depend on what is in it
    Image.fromarray(black).save(path)
    before = ready(photographs)
    position = [before.name_of(place) for place in range(25)].index(str(path))  # type: ignore[misc]  # None only of data without files
    assert before.train_set.images.original(position).max() == 0
    Image.fromarray(black + 255).save(path)
    assert ready(photographs).train_set.images.original(position).min() == 255


def test_a_damaged_cache_is_made_again(photographs: Path) -> None:
    first = everything(ready(photographs))
    (middle,) = decoded.CACHE.glob("*/middle.bin")
    content = bytearray(middle.read_bytes())
    content[7] ^= 255
    middle.write_bytes(content)
    with pytest.warns(UserWarning, match=r"is damaged \(middle\.bin\) and is made again"):
        again = everything(ready(photographs))
    assert torch.equal(first[0], again[0])


def test_a_damaged_file_ends_the_run_and_leaves_nothing_behind(photographs: Path) -> None:
    (photographs / "cat" / "3.png").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"cat/3\.png is no image"):
        ready(photographs)
    assert [path.suffix for path in decoded.CACHE.iterdir()] == [".lock"]
    for _ in range(2):  # found out, and remembered
        with pytest.warns(UserWarning, match=r"Left out 1 image file that is damaged.*3\.png"):
            assert len(ready(photographs, on_corrupt="skip").pretrain_set) < 23


def test_a_full_disk_is_noticed_before_anything_is_written(
    photographs: Path, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "CACHE", tiny_disk)
    monkeypatch.setattr(decoded, "SHARE", 1e9)  # as where another process has filled it meanwhile
    data = ImageData(ImageFolder(photographs), image_size=400, batch_size=4)
    with pytest.warns(UserWarning, match="has no room for them"):
        data.setup()
    assert not list(tiny_disk.glob("*/*.bin")) and len(data.test_set) > 0


def test_worker_processes_get_paths_and_not_pixels(photographs: Path) -> None:
    data = ready(photographs)
    assert len(pickle.dumps(data.train_set.images)) < 24 * data.train_set.images.original(0).nbytes / 10
    again = pickle.loads(pickle.dumps(data.train_set.images))
    assert torch.equal(again.original(3), data.train_set.images.original(3))


def test_images_that_lie_in_memory_are_not_kept() -> None:
    data = ImageData(batch_size=4)  # scikit-learn's digits, an array
    data.setup()
    assert not decoded.CACHE.exists()
