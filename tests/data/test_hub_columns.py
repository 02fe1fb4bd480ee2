"""Columns of Hugging Face data sets as users have them, for images, texts and sounds alike."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from ssl_zoo.data.audio.sources.hugging_face import HuggingFaceAudio
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.hugging_face import HuggingFaceImages
from ssl_zoo.data.sources.hub_columns import hashes_of
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.hugging_face import HuggingFaceText
from ssl_zoo.errors import InputError

hub = pytest.importorskip("datasets")  # an extra
hub.disable_progress_bars()

RANDOM = np.random.default_rng(0)
KINDS = ("images", "texts", "sounds")


def examples(kind: str, folder: Path, count: int) -> tuple[str, list[Any], Any]:
    """Name, values and type of a column of examples."""
    if kind == "texts":
        return "text", [f"text {number}" for number in range(count)], hub.Value("string")
    if kind == "images":
        pictures = [Image.fromarray(RANDOM.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in range(count)]
        return "image", pictures, hub.Image()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"{number}.wav") for number in range(count)]
    for path in paths:
        soundfile.write(path, RANDOM.standard_normal(800) * 0.1, 8000)
    return "audio", paths, hub.Value("string")


def save(kind: str, folder: Path, splits: dict[str, Any], label: Any) -> str:
    """Writes a data set with a column of labels in every split; a split of None has no such column."""
    made = {}
    for name, labels in splits.items():
        example, values, feature = examples(kind, folder / "files" / name, len(labels or [0]))
        rows: dict[str, Any] = {example: values}
        features = {example: feature}
        if labels is not None:
            rows["label"], features["label"] = labels, label
        made[name] = hub.Dataset.from_dict(rows, features=hub.Features(features))
        if kind == "sounds":  # encoding them takes a package that reading them does not
            made[name] = made[name].cast_column(example, hub.Audio())
    hub.DatasetDict(made).save_to_disk(str(folder / "data"))
    return str(folder / "data")


def found(kind: str, name: str, **settings: Any) -> tuple[list[str], dict[str, list[int]]]:
    """The classes, and the labels of the training and of the test part."""
    if kind == "images":
        loaded = HuggingFaceImages(name, **settings).load()
        parts = {"train": loaded.train, "test": loaded.test}
        kept = {part: images.labels for part, images in parts.items() if images is not None}
        return loaded.classes, {part: labels.tolist() for part, labels in kept.items() if labels is not None}
    if "test" in hub.load_from_disk(name):
        settings["test_split"] = "test"
    if kind == "texts":
        source = HuggingFaceText(name, **settings)
        entries: list[Any] = list(source.documents())
        classes = source.classes
    else:
        sounds = HuggingFaceAudio(name, **settings).load()
        entries, classes = sounds.recordings, sounds.classes
    labels = {part: [entry.label for entry in entries if entry.part == part] for part in ("train", "test")}
    return classes, {part: each for part, each in labels.items() if each}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("label", "labels", "classes", "numbers"),
    [
        ("string", ["b", "a ", None, ""], ["a", "b"], [1, 0, -1, -1]),
        ("string", ["10", "9", "10", "9"], ["9", "10"], [1, 0, 1, 0]),
        ("float64", [1.0, 0.0, float("nan"), None], ["0", "1"], [1, 0, -1, -1]),
        ("bool", [True, False, True, None], ["False", "True"], [1, 0, 1, -1]),
        ("int64", [1991, 1990, 1991, None], ["1990", "1991"], [1, 0, 1, -1]),
        ("int64", [-1, 1, -1, 1], ["-1", "1"], [0, 1, 0, 1]),
        (["no", "yes"], [1, 0, -1, None], ["no", "yes"], [1, 0, -1, -1]),
    ],
)
def test_labels_of_any_type(
    tmp_path: Path, kind: str, label: Any, labels: list[Any], classes: list[str], numbers: list[int]
) -> None:
    feature = hub.Value(label) if isinstance(label, str) else hub.ClassLabel(names=label)
    name = save(kind, tmp_path, {"train": labels}, feature)
    assert found(kind, name) == found(kind, name, label_column="label") == (classes, {"train": numbers})


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_only_another_split_has_and_splits_without_any(tmp_path: Path, kind: str) -> None:
    name = save(kind, tmp_path / "a", {"train": ["b", "a"], "test": ["c", "b"]}, hub.Value("string"))
    assert found(kind, name) == (["a", "b", "c"], {"train": [1, 0], "test": [2, 1]})
    name = save(kind, tmp_path / "b", {"train": ["b", "a"], "test": None}, hub.Value("string"))
    assert found(kind, name) == (["a", "b"], {"train": [1, 0], "test": [-1]})


@pytest.mark.parametrize("kind", KINDS)
def test_minus_one_among_more_labels_is_said(tmp_path: Path, kind: str) -> None:
    name = save(kind, tmp_path, {"train": [-1, 0, 1, -1]}, hub.Value("int64"))
    with pytest.warns(UserWarning, match="The column label of .*: 2 labels are -1, which is taken for no label"):
        assert found(kind, name) == (["0", "1"], {"train": [-1, 0, 1, -1]})


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_no_classes(tmp_path: Path, kind: str) -> None:
    name = save(kind, tmp_path, {"train": [0.5, 1.0]}, hub.Value("float64"))
    with pytest.warns(UserWarning, match=r"counts as unlabelled: The column label of .* has the label 0\.5"):
        assert found(kind, name)[0] == []
    with pytest.raises(InputError, match=r"has the label 0\.5: make it a word or a whole number"):
        found(kind, name, label_column="label")


def test_what_is_said_of_texts_is_said_once_in_every_run_and_not_only_in_the_one_that_tokenizes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_zoo.data.text.corpus.CACHE", tmp_path / "cache")
    name = save("texts", tmp_path, {"train": [0.5, 1.25] * 20, "unused": [0.5]}, hub.Value("float32"))
    for _ in range(2):
        data = TextData(HuggingFaceText(name), "characters", 40, length=8, packing=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            data.setup()
        said = [str(warning.message) for warning in caught if warning.category is UserWarning]
        assert sum("counts as unlabelled" in sentence for sentence in said) == 1
        assert sum("left out the splits unused" in sentence for sentence in said) == 1


def test_classes_that_splits_declare_in_another_order_are_the_same(tmp_path: Path) -> None:
    for split, names in (("train", ["a", "b"]), ("test", ["b", "a"])):
        features = hub.Features({"text": hub.Value("string"), "label": hub.ClassLabel(names=names)})
        made = hub.Dataset.from_dict({"text": ["x", "y"], "label": [0, 1]}, features=features)
        made.save_to_disk(str(tmp_path / "data" / split))
    (tmp_path / "data" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert found("texts", str(tmp_path / "data")) == (["a", "b"], {"train": [0, 1], "test": [1, 0]})


def test_rows_without_an_image_are_left_out_and_said(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((4, 4, 3), value, dtype=np.uint8)) for value in range(4)]
    rows = {"image": [pictures[0], None, pictures[2], pictures[3]], "label": [0, 1, 1, 0]}
    features = hub.Features({"image": hub.Image(), "label": hub.Value("int64")})
    hub.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "data"))
    with pytest.warns(UserWarning, match="left out rows without an image: 1"):
        loaded = HuggingFaceImages(str(tmp_path / "data")).load()
    assert loaded.train.labels is not None and loaded.train.labels.tolist() == [0, 1, 0]
    assert [int(loaded.train.original(place)[0, 0, 0]) for place in range(3)] == [0, 2, 3]
    assert loaded.names is not None and loaded.names[1].startswith("row 2 of ")
    with pytest.raises(InputError, match=r"The column label of .* holds no images: choose another image_column"):
        HuggingFaceImages(str(tmp_path / "data"), image_column="label").load()


def test_official_splits_of_images(tmp_path: Path) -> None:
    splits = {"train": [0, 1] * 4, "validation": [1], "test": [0, 1]}
    name = save("images", tmp_path, splits, hub.Value("int64"))
    data = ImageData(HuggingFaceImages(name), image_size=6, batch_size=4)
    data.setup()
    assert [len(part) for part in (data.train_set, data.validation_set, data.test_set)] == [8, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_splits_that_are_not_used_are_named(tmp_path: Path, kind: str) -> None:
    name = save(kind, tmp_path, {"train": ["a", "b"], "matched": ["b"], "mismatched": ["a"]}, hub.Value("string"))
    with pytest.warns(UserWarning, match="left out the splits matched, mismatched: .* those wanted"):
        if kind == "texts":
            list(HuggingFaceText(name).documents())
        else:
            (HuggingFaceImages(name) if kind == "images" else HuggingFaceAudio(name)).load()


def test_a_row_whose_image_is_damaged_is_named_with_its_split(tmp_path: Path) -> None:
    pictures = [{"bytes": b"no image", "path": None}, None]
    made = hub.Dataset.from_dict({"image": pictures[::-1]}, features=hub.Features({"image": hub.Image()}))
    hub.DatasetDict({"train": made, "test": made}).save_to_disk(str(tmp_path / "data"))
    with pytest.warns(UserWarning, match="left out rows without an image"):
        loaded = HuggingFaceImages(str(tmp_path / "data")).load()
    assert loaded.test is not None
    with pytest.raises(InputError, match=r"The row 1 of .*data/test has an image that cannot be read: remove it"):
        loaded.test.original(0)


@pytest.mark.parametrize("kind", ["texts", "sounds"])
def test_an_official_validation_split(tmp_path: Path, kind: str) -> None:
    name = save(kind, tmp_path, {"train": ["a", "b"], "dev": ["b"]}, hub.Value("string"))
    if kind == "texts":
        entries: list[Any] = list(HuggingFaceText(name, validation_split="dev").documents())
    else:
        entries = HuggingFaceAudio(name, validation_split="dev").load().recordings
    assert [(entry.label, entry.part) for entry in entries] == [(0, "train"), (1, "train"), (1, "validation")]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_data_sets_of_one_name_are_two(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [save(kind, tmp_path / who, {"train": [0, 1]}, hub.Value("int64")) for who in "AB"]
    identities = []
    for who, name in (("A", names[0]), ("A", "data"), ("B", "data")):
        monkeypatch.chdir(tmp_path / who)
        if kind == "images":
            identities.append(HuggingFaceImages(name).load().identity)
        elif kind == "texts":
            identities.append(HuggingFaceText(name).fingerprint())
        else:
            identities.append(HuggingFaceAudio(name).load().recordings[0].identity)
    assert identities[0] == identities[1] != identities[2]


def test_images_that_are_in_two_parts_are_counted(tmp_path: Path) -> None:
    _, pictures, feature = examples("images", tmp_path, 40)
    splits = {"train": range(30), "test": range(27, 40)}  # three in both
    made = {
        name: hub.Dataset.from_dict(
            {"image": [pictures[row] for row in rows], "label": [f"class {row % 2}" for row in rows]},
            features=hub.Features({"image": feature, "label": hub.Value("string")}),
        )
        for name, rows in splits.items()
    }
    hub.DatasetDict(made).save_to_disk(str(tmp_path / "data"))
    data = ImageData(HuggingFaceImages(str(tmp_path / "data")), image_size=6, batch_size=4)
    with pytest.warns(UserWarning, match="3 of 16 images for validation and testing are exact copies"):
        data.setup()


def test_images_in_rows_and_in_files_beside_them_are_known_by_their_content(tmp_path: Path) -> None:
    _, pictures, feature = examples("images", tmp_path, 4)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    features = hub.Features({"image": feature})
    beside = hub.Dataset.from_dict({"image": [str(path) for path in paths]}, features=features)
    within = hub.Dataset.from_dict({"image": [{"bytes": path.read_bytes()} for path in paths]}, features=features)
    hashes = hashes_of([(beside, [3, 1]), (within, [1, 0])], "image")
    assert hashes is not None and hashes[1] == hashes[2] and len(set(hashes.tolist())) == 3
    paths[0].unlink()
    assert hashes_of([(beside, [0])], "image") is None
