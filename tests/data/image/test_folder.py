"""A user's own folder of images."""

import os
import re
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources import folder, image_files
from ssl_zoo.data.image.sources.base import Images
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.sources import contents
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
    with pytest.warns(UserWarning, match=r"left out files of another kind \(\.txt\): 1, empty folders: 1\.$"):
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
    with pytest.raises(InputError, match=rf"There is no image in {tmp_path}: put image files \(\.bmp, .*\.png"):
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
    with pytest.warns(UserWarning, match=f"Left out 1 image file that is damaged, .* numbers: {re.escape(str(bad))}"):
        loaded = ImageFolder(tmp_path, on_corrupt="skip").load()
    assert loaded.train.labels is not None and loaded.train.labels.tolist() == [0, 1]
    assert np.array_equal(all_of(loaded.train, 6)[0].numpy(), images[1])


@pytest.mark.parametrize(("limit", "most"), [(0, 1), (10**9, 4)])
def test_large_images_are_decoded_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, most: int
) -> None:
    write_images(tmp_path, [f"{number}.png" for number in range(4)])
    at_work: list[int] = []
    together: list[int] = []
    all_there = threading.Barrier(most)

    def slowly(*_: object) -> None:
        at_work.append(1)
        all_there.wait(10)
        together.append(len(at_work))
        all_there.wait(10)
        at_work.pop()

    monkeypatch.setattr(image_files, "LARGE", limit)
    monkeypatch.setattr(folder, "to_pixels", slowly)
    ImageFolder(tmp_path, on_corrupt="skip").load()
    assert max(together) == most


@pytest.mark.parametrize("limit", [10, 30])  # at which Pillow gives an error, or a warning, which tests make errors
def test_images_beyond_pillows_limit_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    write_images(tmp_path, ["large.png"])
    write_images(tmp_path, ["small.png"], (2, 2))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.warns(UserWarning, match=r"Left out 1 image file that is damaged, too large .*large.png"):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        assert len(ImageFolder(tmp_path, on_corrupt="skip").load().train) == 1


def test_nothing_but_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.warns(UserWarning), pytest.raises(InputError, match=r"Every image in .* is damaged"):
        ImageFolder(tmp_path, on_corrupt="skip").load()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_file_without_finite_numbers_stops_or_is_skipped_like_a_damaged_one(tmp_path: Path, value: float) -> None:
    for number in range(15):
        pixels = np.full((6, 6), number / 20, np.float32)
        pixels[2, 3] = value if number < 12 else 0
        np.save(tmp_path / f"{number:02d}.npy", pixels)
    with pytest.raises(InputError, match=r"00\.npy holds values that are no finite numbers: .* on_corrupt may skip"):
        all_of(ImageFolder(tmp_path).load().train, 6)
    with pytest.warns(UserWarning, match=r"Left out 12 image files .*00\.npy, .*09\.npy and 2 others$"):
        loaded = ImageFolder(tmp_path, on_corrupt="skip").load()
    assert len(loaded.train) == 3 and all_of(loaded.train, 6).max() == round(255 * 14 / 20)


@pytest.mark.parametrize("line", ["{} cat", "{},cat", "'{}';cat", "{}\tcat"])
@pytest.mark.parametrize("head", ["", "file label\n"])
def test_a_labels_file_that_names_its_images_does_not_make_a_class_of_each(
    tmp_path: Path, line: str, head: str
) -> None:
    names = ["a.png", "b.png", "c.png"]
    write_images(tmp_path / "data", names)
    (tmp_path / "labels.txt").write_text(head + "".join(line.format(name) + "\n" for name in names))
    with pytest.raises(InputError, match=r"labels\.txt has the file name in the line .*a\.png.*: write labels alone"):
        ImageFolder(tmp_path / "data", tmp_path / "labels.txt").load()


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_working_folder(path: str) -> None:
    with pytest.raises(InputError, match="The path given for the source is empty"):
        ImageFolder(path)


def part_sizes(data: ImageData) -> list[int]:
    data.setup()
    return [len(part) for part in (data.train_set, data.validation_set, data.test_set)]


def test_official_parts_and_their_classes(tmp_path: Path) -> None:
    for part, count in (("TRAIN", 6), ("Val", 3), ("test", 2)):
        for label in ("cat", "dog"):
            write_images(tmp_path / part / label, [f"{number}.png" for number in range(count)])
    data = ImageData(ImageFolder(tmp_path), image_size=6, batch_size=4)
    assert part_sizes(data) == [12, 6, 4] and data.classes == ["cat", "dog"]
    assert data.test_set.labels is not None and data.test_set.labels.tolist() == [0, 0, 1, 1]
    batch = data.validation_set.__getitems__([0])
    written = np.asarray(Image.open(tmp_path / "Val" / "cat" / "0.png")).transpose(2, 0, 1)
    assert np.array_equal(batch.inputs[0].numpy(), written)


def test_links_hidden_names_suffixes_and_numbers_of_classes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_images(root / "10", ["a.JPG", "b.jfif"])
    write_images(tmp_path / "elsewhere", ["a.png"])
    (root / "9").symlink_to(tmp_path / "elsewhere")
    write_images(root / "10" / ".ipynb_checkpoints", ["a.png"])
    (root / "10" / "again").symlink_to(root)
    with pytest.warns(UserWarning, match="links that lead back to a folder above: 1"):
        loaded = ImageFolder(root).load()
    assert loaded.classes == ["9", "10"] and loaded.train.labels is not None
    assert loaded.train.labels.tolist() == [1, 1, 0]
    assert loaded.names == [str(root.resolve() / name) for name in ("10/a.JPG", "10/b.jfif", "9/a.png")]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfcat\r\ndog\r\ncat\r\n",
        b"cat \n dog\ncat",
        b"cat\rdog\rcat\r",
        b"cat\ndog\ncat\n\n\n",
        "cat\ndog\ncat".encode("utf-16"),
        "cat\ndog\ncat\n".encode("utf-16-le"),
        "cat\ndog\ncat\n".encode("utf-16-be"),
        b"\xff\xfe\x00\x00" + "cat\ndog\ncat\n".encode("utf-32-le"),
    ],
)
def test_labels_files_as_editors_save_them(tmp_path: Path, content: bytes) -> None:
    write_images(tmp_path / "data", ["a.png", "b.png", "c.png"])
    (tmp_path / "data" / "labels.txt").write_bytes(content)
    loaded = ImageFolder(tmp_path / "data", tmp_path / "data" / "labels.txt").load()
    assert loaded.classes == ["cat", "dog"] and loaded.train.labels is not None
    assert loaded.train.labels.tolist() == [0, 1, 0]


def test_labels_in_another_encoding_and_missing_ones(tmp_path: Path) -> None:
    write_images(tmp_path / "data", ["a.png", "b.png", "c.png"])
    (tmp_path / "labels.txt").write_bytes(b"chat\n\n\xe9l\xe9phant\n")
    with pytest.warns(UserWarning, match="not UTF-8 and is read as Windows-1252"):
        loaded = ImageFolder(tmp_path / "data", tmp_path / "labels.txt").load()
    assert loaded.classes == ["chat", "éléphant"] and loaded.train.labels is not None
    assert loaded.train.labels.tolist() == [0, -1, 1]


def two_sets(tmp_path: Path) -> list[Path]:
    """Two folders with equal names, sizes and times, and a copy of the first."""
    for who in "AB":
        for label in ("cat", "dog"):
            folder = tmp_path / who / "images" / label
            folder.mkdir(parents=True)
            for number in range(10):
                Image.fromarray(RANDOM.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(folder / f"{number}.bmp")
                os.utime(folder / f"{number}.bmp", (1_600_000_000, 1_600_000_000))
    shutil.copytree(tmp_path / "A", tmp_path / "C")
    return [tmp_path / who / "images" for who in "ABC"]


def test_data_is_its_content_wherever_it_lies(tmp_path: Path) -> None:
    first, other, copy = (ImageData(ImageFolder(root), image_size=6, batch_size=4) for root in two_sets(tmp_path))
    for data in (first, other, copy):
        data.setup()
    assert first.identity == copy.identity and first.split_hash == copy.split_hash
    assert first.identity != other.identity and first.split_hash != other.split_hash
    again = ImageData(ImageFolder(tmp_path / "A" / "images"), image_size=6, batch_size=4, train_size=5)
    again.setup()
    assert again.identity == first.identity and again.split_hash != first.split_hash


def test_more_files_are_other_data(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        write_images(tmp_path / label, [f"{number}.png" for number in range(10)])
    before = ImageData(ImageFolder(tmp_path), image_size=6, batch_size=4)
    before.setup()
    write_images(tmp_path / "cat", [f"a{number}.png" for number in range(7)])
    after = ImageData(ImageFolder(tmp_path), image_size=6, batch_size=4)
    after.setup()
    assert before.split_hash != after.split_hash and before.identity != after.identity


def test_the_root_is_kept_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "data", ["a.png"])
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "labels.txt").write_text("a\n")
    monkeypatch.chdir(tmp_path)
    source = ImageFolder("link", "labels.txt")
    assert source.root == str((tmp_path / "data").resolve()) and source.labels == str(
        (tmp_path / "labels.txt").resolve()
    )


def test_copies_across_parts_are_counted(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_images(tmp_path / part / "cat", ["a.png", "b.png"])
        write_images(tmp_path / part / "dog", ["c.png"])
    shutil.copy(tmp_path / "train" / "cat" / "a.png", tmp_path / "test" / "dog" / "d.png")
    shutil.copy(tmp_path / "val" / "cat" / "a.png", tmp_path / "test" / "dog" / "e.png")
    data = ImageData(ImageFolder(tmp_path), image_size=6, batch_size=4)
    with pytest.warns(UserWarning, match="2 of 8 images for validation and testing are exact copies"):
        data.setup()


def test_a_digest_of_very_much_data_reads_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "READ_BYTES", 1000)
    monkeypatch.setattr(contents, "SAMPLED_FILES", 3)
    monkeypatch.setattr(contents, "SAMPLED_BYTES", 10)
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.write_bytes(b"x" * 300)
    before = contents.contents_of(paths)
    assert before.hashes is None and contents.contents_of(paths) == before
    paths[0].write_bytes(b"y" * 300)
    assert contents.contents_of(paths).digest != before.digest
    paths[0].write_bytes(b"x" * 300)
    paths[1].write_bytes(b"x" * 301)
    assert contents.contents_of(paths).digest != before.digest
    pixels = torch.zeros(50, 1, 8, 8)
    assert contents.digest_of_pixels(pixels) != contents.digest_of_pixels(pixels + 1)
