"""Which files a folder has, of which part and class; the same for images, sounds and texts."""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl_zoo.data.sources.files import class_numbers, find_files, identity_of
from ssl_zoo.errors import InputError


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def found(root: Path, part_files: tuple[str, ...] = ()) -> list[tuple[str, str, str | None]]:
    """Path, part and class of the .x files."""
    files = find_files(root, (".x",), "things", part_files=part_files)
    return [(str(file.path.relative_to(root)), file.part, file.label) for file in files]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Train", "VALID", "Test"), ("TRAINING", "Validation", "testing"), ("tr", "dev", "te")],
)
def test_parts_are_official_in_any_capitals(tmp_path: Path, train: str, validation: str, test: str) -> None:
    names = [f"{part}/{label}/1.x" for part in (train, validation, test) for label in ("a", "b")]
    write(tmp_path, *names)
    files = found(tmp_path)
    if train == "tr":  # one of three folders happens to be called dev: they are classes
        assert {(part, label) for _, part, label in files} == {("train", "tr"), ("train", "dev"), ("train", "te")}
        return
    expected = zip(names, ["train"] * 2 + ["validation"] * 2 + ["test"] * 2, ["a", "b"] * 3, strict=True)
    assert files == list(expected)


@pytest.mark.parametrize("held", ["val", "test"])
def test_one_held_out_part_is_enough_and_training_alone_is_a_part_too(tmp_path: Path, held: str) -> None:
    write(tmp_path / "two", "train/a/1.x", f"{held}/a/1.x")
    parts = [part for _, part, _ in found(tmp_path / "two")]
    assert parts == ["train", {"val": "validation"}.get(held, held)]
    assert found(write(tmp_path / "one", "train/a/1.x", "train/b/1.x")) == [
        ("train/a/1.x", "train", "a"),
        ("train/b/1.x", "train", "b"),
    ]


def test_parts_without_one_to_train_on_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "val/a/1.x", "Test/a/1.x")
    with pytest.raises(InputError, match="has Test and val but nothing called train: add it"):
        found(tmp_path)


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    assert [label for _, _, label in found(write(tmp_path / "a", "test/1.x", "control/1.x"))] == ["control", "test"]
    assert [label for _, _, label in found(write(tmp_path / "b", "train/1.x", "plane/1.x"))] == ["plane", "train"]


def test_what_lies_beside_the_parts_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1.x", "test/a/1.x", "extra/a/1.x", "loose.x", "README", "train/list.csv")
    with pytest.warns(UserWarning) as caught:
        files = found(tmp_path)
    assert [name for name, _, _ in files] == ["train/a/1.x", "test/a/1.x"]
    message = str(caught[0].message)
    assert "things beside the official parts: 2" in message
    assert "(no suffix): 1" in message and "(.csv): 1" in message and len(caught) == 1


def test_empty_folders_are_counted(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "bird").mkdir()
    with pytest.warns(UserWarning, match="left out empty folders: 1"):
        assert len(find_files(tmp_path, [".png"], "images")) == 2


def test_what_lies_beside_the_classes_has_none_and_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "a/1.x", "b/1.x", "loose.x")
    with pytest.warns(UserWarning, match="things beside the folders of the classes, without a class .*: 1"):
        assert found(tmp_path)[-1] == ("loose.x", "train", None)
    assert found(write(tmp_path / "flat", "1.x", "2.x")) == [("1.x", "train", None), ("2.x", "train", None)]


def test_classes_that_only_a_held_out_part_has_are_named(tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.x", "train/dog/1.x", "test/Cat/1.x", "test/dog/1.x")
    with pytest.warns(UserWarning, match="classes that the training part lacks: Cat"):
        found(tmp_path)


def test_unsup_is_no_class(tmp_path: Path) -> None:
    """As in aclImdb, and beside classes."""
    write(tmp_path / "a", "train/neg/1.x", "train/pos/1.x", "train/unsup/1.x", "test/neg/1.x", "test/pos/1.x")
    assert found(tmp_path / "a")[-1] == ("train/unsup/1.x", "unlabelled", None) and len(found(tmp_path / "a")) == 5
    write(tmp_path / "b", "cat/1.x", "dog/1.x", "Unlabeled/1.x")
    assert [part for _, part, _ in found(tmp_path / "b")] == ["train", "train", "unlabelled"]


def test_parts_may_lie_in_one_folder_or_in_every_class(tmp_path: Path) -> None:
    write(tmp_path / "a", "data/train/a/1.x", "data/test/a/1.x")
    assert found(tmp_path / "a") == [("data/train/a/1.x", "train", "a"), ("data/test/a/1.x", "test", "a")]
    write(tmp_path / "b", *(f"{label}/{part}/1.x" for label in ("cat", "dog") for part in ("Train", "Test")))
    assert found(tmp_path / "b") == [
        ("cat/Train/1.x", "train", "cat"),
        ("dog/Train/1.x", "train", "dog"),
        ("cat/Test/1.x", "test", "cat"),
        ("dog/Test/1.x", "test", "dog"),
    ]


def test_files_may_be_called_like_parts(tmp_path: Path) -> None:
    write(tmp_path, "TRAIN-00000-of-00002.x", "TRAIN-00001-of-00002.x", "dev.x", "test.x")
    assert [part for _, part, _ in found(tmp_path, part_files=(".x",))] == ["train", "train", "validation", "test"]
    assert {part for _, part, _ in found(tmp_path)} == {"train"}


@pytest.mark.parametrize("names", [("imgs_train", "imgs_test"), ("Train Set", "val-set"), ("2012test", "2012train")])
def test_folders_with_a_part_in_their_names_are_not_taken_for_classes_in_silence(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    write(tmp_path, *(f"{name}/{label}/{number}.x" for name in names for label in "ab" for number in range(2)))
    sentence = (
        f"{', '.join(sorted(names))} are taken for no official parts: call them train, val and test if they are some"
    )
    with pytest.warns(UserWarning, match=re.escape(sentence)):
        assert {label for _, _, label in found(tmp_path)} == set(names)


def test_files_with_a_part_in_their_names_are_not_mixed_in_silence(tmp_path: Path) -> None:
    write(tmp_path, "imdb_train.x", "imdb_test.x")
    with pytest.warns(UserWarning, match=r"imdb_test\.x, imdb_train\.x are taken for no official parts"):
        found(tmp_path, (".x",))
    with warnings.catch_warnings(action="error"):  # where files are single documents, their names say nothing
        found(tmp_path)


def test_hidden_names_are_skipped_at_any_depth_below_the_root(tmp_path: Path) -> None:
    root = write(tmp_path / ".cache" / "data", "a/1.x", "b/1.x", "a/.ipynb_checkpoints/1.x", ".git/1.x", "a/._1.x")
    assert [name for name, _, _ in found(root)] == ["a/1.x", "b/1.x"]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "cat/1.x", "dog/1.x")
    write(tmp_path / "elsewhere", "2.x", "deep/3.x")
    (root / "bird").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "linked.x").symlink_to(tmp_path / "elsewhere" / "2.x")
    assert [name for name, _, _ in found(root)] == [
        "bird/2.x", "bird/deep/3.x", "cat/1.x", "cat/linked.x", "dog/1.x",
    ]  # fmt: skip
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "over").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(root)
    with pytest.warns(UserWarning, match="links that lead back to a folder above: 4"):
        assert len(found(root)) == 5


def test_many_links_between_folders_take_no_time(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(9)]
    write(tmp_path, *(f"all/{name}/1.x" for name in names))
    for name in names:
        for other in set(names) - {name}:
            (tmp_path / "all" / name / other).symlink_to(tmp_path / "all" / other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of links that lead back
        assert len(found(tmp_path)) == 9  # in one class each counts once


def test_two_links_to_one_folder_count_once_in_a_class(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "cat/1.x", "dog/1.x")
    write(tmp_path / "more", "2.x")
    for name in ("cat/b1", "cat/b2", "dog/b1"):
        (root / name).symlink_to(tmp_path / "more")
    assert [name for name, _, _ in found(root)] == ["cat/1.x", "cat/b1/2.x", "dog/1.x", "dog/b1/2.x"]


def test_links_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "a/1.x")
    (tmp_path / "a" / "2.x").symlink_to(tmp_path / "gone.x")
    (tmp_path / "a" / "3.x").symlink_to(tmp_path / "a" / "3.x")
    with pytest.warns(UserWarning, match="links that lead nowhere: 2"):
        assert len(found(tmp_path)) == 1


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a/1.x", "b/1.x")
    scan = os.scandir

    def refuse(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"The folder .*b cannot be read \(Permission denied\): give access"):
        found(tmp_path)


def test_numbers_are_in_their_order_and_names_need_not_be_utf8(tmp_path: Path) -> None:
    write(tmp_path / "a", *(f"{number}/1.x" for number in (10, 9, 1, 0, 100)))
    assert list(class_numbers(find_files(tmp_path / "a", (".x",), "things"))) == ["0", "1", "9", "10", "100"]
    folder = os.fsencode(tmp_path) + b"/b/caf\xe9"
    os.makedirs(folder)
    Path(os.fsdecode(folder + b"/\xff.x")).write_bytes(b"")
    (file,) = find_files(tmp_path / "b", (".x",), "things")
    assert file.label == "caf\\xe9" and file.path.read_bytes() == b""
    assert identity_of(file.path).encode()  # can be hashed and printed


def test_the_identity_of_a_file_follows_the_file_and_not_how_it_is_reached(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, "1.x")
        os.utime(tmp_path / name / "1.x", ns=(1, 1))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert identity_of(tmp_path / "link" / "1.x") == identity_of(tmp_path / "a" / "1.x")
    before = identity_of(tmp_path / "a" / "1.x")
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")  # another file of the same size and time in the same place
    assert identity_of(tmp_path / "a" / "1.x") != before
