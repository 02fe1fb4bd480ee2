"""A user's own folder of images."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ssl_zoo.data.sources.base import Images
from ssl_zoo.data.sources.folder import ImageFolder
from ssl_zoo.errors import InputError

RANDOM = np.random.default_rng(0)


def all_of(images: Images, size: int) -> torch.Tensor:
    return images.read(torch.arange(len(images)), size)


def write_images(folder: Path, names: list[str], size: tuple[int, int] = (6, 6)) -> list[np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    images = [RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in names]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return [image.transpose(2, 0, 1) for image in images]


def test_sub_folders_are_classes_as_in_torchvision(tmp_path: Path) -> None:
    write_images(tmp_path / "dog", ["b.png", "a.png"])
    write_images(tmp_path / "cat" / "more", ["z.png"])
    write_images(tmp_path / "cat", ["y.PNG"])
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    loaded = ImageFolder(tmp_path).load()
    (tmp_path / "empty").rmdir()
    theirs = datasets.ImageFolder(str(tmp_path))
    assert loaded.classes == theirs.classes == ["cat", "dog"]
    assert loaded.train.labels is not None and loaded.train.labels.tolist() == sorted(theirs.targets)
    ours = {image.numpy().tobytes() for image in all_of(loaded.train, 6)}
    assert ours == {np.asarray(image).transpose(2, 0, 1).tobytes() for image, _ in theirs}


def test_flat_folder_with_and_without_labels(tmp_path: Path) -> None:
    images = write_images(tmp_path / "data", ["b.png", "c.png", "a.png"])
    loaded = ImageFolder(tmp_path / "data").load()
    assert loaded.train.labels is None and loaded.classes == []
    assert np.array_equal(all_of(loaded.train, 6).numpy(), np.stack([images[2], images[0], images[1]]))
    (tmp_path / "labels.txt").write_text("dog\ncat\ndog\n")
    loaded = ImageFolder(tmp_path / "data", tmp_path / "labels.txt").load()
    assert loaded.train.labels is not None
    assert loaded.classes == ["cat", "dog"] and loaded.train.labels.tolist() == [1, 0, 1]


def test_bad_folders_and_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no folder .*nowhere: set the source's `root`"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"There is no file .*nowhere: set `labels`"):
        ImageFolder(tmp_path, tmp_path / "nowhere")
    with pytest.raises(InputError, match="channels is 0: choose 1"):
        ImageFolder(tmp_path, channels=0)
    with pytest.raises(InputError, match=f"There is no image in {tmp_path}: put"):
        ImageFolder(tmp_path).load()
    write_images(tmp_path / "data", ["a.png", "b.png"])
    (tmp_path / "labels.txt").write_text("dog\n")
    with pytest.raises(InputError, match=r"labels.txt has 1 lines but .*data has 2 images: write one label a line"):
        ImageFolder(tmp_path / "data", tmp_path / "labels.txt").load()
    with pytest.raises(InputError, match="has sub-folders, which are its classes: leave out the labels file"):
        ImageFolder(tmp_path, tmp_path / "labels.txt").load()


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_file_stops_or_is_skipped(tmp_path: Path, damage: str) -> None:
    images = write_images(tmp_path / "cat", ["a.png", "b.png"])
    write_images(tmp_path / "dog", ["c.png"])
    bad = tmp_path / "cat" / "a.png"
    bad.write_bytes({"truncated": bad.read_bytes()[:60], "empty": b"", "text": b"hello"}[damage])
    stopping = ImageFolder(tmp_path).load()
    with pytest.raises(InputError, match=re.escape(f"{bad} is no image that can be read: remove it")):
        all_of(stopping.train, 6)
    with pytest.warns(UserWarning, match=f"Left out 1 damaged image files: {re.escape(str(bad))}"):
        loaded = ImageFolder(tmp_path, on_corrupt="skip").load()
    assert loaded.train.labels is not None and loaded.train.labels.tolist() == [0, 1]
    assert np.array_equal(all_of(loaded.train, 6)[0].numpy(), images[1])


def test_nothing_but_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.warns(UserWarning), pytest.raises(InputError, match=r"Every image in .* is damaged"):
        ImageFolder(tmp_path, on_corrupt="skip").load()
