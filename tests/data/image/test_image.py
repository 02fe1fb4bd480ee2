import ast
import time
from pathlib import Path

import jsonargparse
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset

from ssl_zoo.batch import Batch
from ssl_zoo.data.image import decoded
from ssl_zoo.data.image import module as image_module
from ssl_zoo.data.image.examples import ImageExamples
from ssl_zoo.data.image.kept_images import StoredImages
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.image.sources.digits import Digits
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.errors import InputError


class Made(ImageSource):
    """Images whose every pixel is their own number, so that a mixed-up index shows."""

    licence, channels, image_size = "none", 1, 4

    def __init__(self, train: int = 100, test: int = 0, unlabelled: int = 0, labelled: bool = True) -> None:
        self.counts, self.labelled, self.name = (train, test, unlabelled), labelled, f"Made {train}"

    def load(self) -> LoadedImages:
        parts: list[ArrayImages | None] = []
        start = 0
        for number, count in enumerate(self.counts):
            value = torch.arange(start, start + count)
            pixels = value.byte().view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
            parts.append(ArrayImages(pixels, value % 5 if self.labelled and number < 2 else None) if count else None)
            start += count
        train, test, unlabelled = parts
        assert train is not None
        return LoadedImages(train, test, unlabelled, list("abcde") if self.labelled else [])


def ready(*args: object, **settings: object) -> ImageData:
    data = ImageData(*args, **{"batch_size": 8, **settings})
    data.setup()
    return data


def everything(examples: object) -> Batch:
    return examples.__getitems__(list(range(len(examples))))


def parts(data: ImageData) -> list[torch.Tensor]:
    return [everything(part).index for part in (data.train_set, data.validation_set, data.test_set)]


def test_digits_are_split_into_disjoint_stratified_parts_that_leave_nothing_out() -> None:
    data = ready()
    train, validation, test = parts(data)
    assert sorted(torch.cat([train, validation, test]).tolist()) == list(range(1797))
    assert (len(test), len(validation)) == (round(1797 * 0.2), round((1797 - len(test)) * 0.1))
    all_labels = Digits().load().train.labels
    assert all_labels is not None
    for index in (train, validation, test):
        expected = torch.bincount(all_labels).double() * len(index) / 1797
        assert ((torch.bincount(all_labels[index]) - expected).abs() <= 2).all()
    assert (data.channels, data.image_size, data.source_name, data.classes) == (1, 8, "Digits", list("0123456789"))


def test_the_split_is_the_same_for_every_seed() -> None:
    torch.manual_seed(1)
    first = ready()
    torch.manual_seed(2)
    second = ready()
    assert all(torch.equal(a, b) for a, b in zip(parts(first), parts(second), strict=True))
    assert first.split_hash == second.split_hash != ready(train_size=100).split_hash
    assert first.order_seed != second.order_seed


def test_a_batch_holds_the_images_and_labels_of_its_index() -> None:
    data = ready(Made(60, 30))
    for examples in (data.train_set, data.validation_set, data.test_set):
        batch = everything(examples)
        assert batch.inputs.shape == (len(examples), 1, 4, 4) and batch.inputs.dtype == torch.uint8
        assert torch.equal(batch.inputs[:, 0, 0, 0].long(), batch.index)
        assert batch.labels is not None and examples.labels is not None and batch.mask is None
        assert torch.equal(batch.labels, batch.index % 5) and torch.equal(batch.labels, examples.labels)
    assert parts(data)[2].tolist() == list(range(60, 90))  # the official test set, numbered after the training images
    assert Subset(data.train_set, [3, 1]).__getitems__([1, 0]).index.tolist() == parts(data)[0][[1, 3]].tolist()


def test_train_size_takes_a_stratified_part_of_the_training_images() -> None:
    whole, some = ready(Made()), ready(Made(), train_size=20)
    assert set(parts(some)[0].tolist()) < set(parts(whole)[0].tolist())
    assert [torch.equal(a, b) for a, b in zip(parts(whole), parts(some), strict=True)] == [False, True, True]
    assert some.train_set.labels is not None and torch.bincount(some.train_set.labels).tolist() == [4] * 5


def test_images_without_labels() -> None:
    data = ready(Made(labelled=False))
    assert data.train_set.labels is None and everything(data.test_set).labels is None and data.classes == []
    assert sorted(torch.cat(parts(data)).tolist()) == list(range(100))


def test_unlabelled_images_join_pretraining_and_nothing_else() -> None:
    data = ready(Made(60, 30, 40))
    assert data.pretrain_set.labels is None and data.train_set.labels is not None
    index = everything(data.pretrain_set).index
    assert index.tolist() == [*parts(data)[0].tolist(), *range(90, 130)]
    assert torch.equal(everything(data.pretrain_set).inputs[:, 0, 0, 0].long(), index)
    assert data.train_dataloader().dataset is data.pretrain_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(20):
            size = random.integers(5, 20, 2)
            Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_decoded_while_training_equal_those_in_memory(
    folder: Path, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "SHARE", 0.0)  # no room on the disk, where they would be kept otherwise
    with pytest.warns(UserWarning, match="decoded at every start and not kept, as they would take"):
        in_memory = ready(ImageFolder(folder), image_size=8)
        monkeypatch.setattr(image_module, "IN_MEMORY_BYTES", 0)
        lazy = ready(ImageFolder(folder), image_size=8, num_workers=num_workers)
    assert isinstance(in_memory.train_set.images, StoredImages) and not isinstance(lazy.train_set.images, StoredImages)
    assert lazy.split_hash == in_memory.split_hash
    for a, b in zip(in_memory.train_dataloader(), lazy.train_dataloader(), strict=True):
        assert a.fields is not None and b.fields is not None and a.fields.keys() == b.fields.keys()
        pairs = [*zip(a[:4], b[:4], strict=True), *((a.fields[name], b.fields[name]) for name in a.fields)]
        assert all(x is y or torch.equal(x, y) for x, y in pairs)


def test_image_size_is_the_source_s_own_or_the_user_s(folder: Path) -> None:
    with pytest.raises(InputError, match=r"ImageFolder .* may differ in size: set the data's image_size"):
        ImageData(ImageFolder(folder))
    assert ImageData(ImageFolder(folder), image_size=12).image_size == 12
    assert everything(ready(image_size=16).test_set).inputs.shape[1:] == (1, 16, 16)


def test_a_damaged_file_is_named_at_setup(folder: Path) -> None:
    (folder / "cat" / "3.png").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"cat/3\.png is no image that can be read"):
        ready(ImageFolder(folder), image_size=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"image_size": -1}, "image_size is -1: it must be at least 1"),
        ({"train_size": 0}, "train_size is 0: it must be at least 1"),
        ({"train_size": 73}, "train_size is 73, but Made 100 has 72: lower it"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0: it must lie between 0 and 1"),
        ({"test_fraction": 0.0}, "test_fraction is 0.0: it must lie between 0 and 1"),
        ({"num_workers": -1}, "num_workers is -1: it must be at least 0"),
        ({"batch_size": 73}, "batch_size 73 is larger than the training set of 72 examples"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ready(Made(), **settings).train_dataloader()


def test_too_little_data() -> None:
    with pytest.raises(InputError, match="Made 2 has too few images with labels"):
        ready(Made(2))


def test_a_batch_from_memory_takes_far_less_than_half_a_millisecond() -> None:
    images = ArrayImages(torch.randint(0, 256, (20000, 1, 28, 28), dtype=torch.uint8), torch.zeros(20000).long())
    examples = ImageExamples(images, torch.arange(20000), 28)
    positions = torch.randperm(20000)[:256].tolist()
    times = []
    for _ in range(50):
        start = time.perf_counter()
        examples.__getitems__(positions)
        times.append(time.perf_counter() - start)
    assert sorted(times)[25] < 0.5e-3


def test_a_configuration_names_the_source(folder: Path) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageData, "data")
    arguments = ["--data.source=ImageFolder", f"--data.source.root={folder}", "--data.source.channels=1"]
    config = parser.parse_args([*arguments, "--data.image_size=8"])
    data = parser.instantiate(config).data
    assert isinstance(data.source, ImageFolder) and (data.channels, data.image_size) == (1, 8)
    assert parser.instantiate(parser.parse_args([])).data.source_name == "Digits"


def test_importing_the_data_module_leaves_heavy_packages_alone() -> None:
    imported = set()
    for path in Path(image_module.__file__).parents[1].rglob("*.py"):
        for node in ast.parse(path.read_text()).body:  # what functions import costs nothing here
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
    assert "torch" in imported
    assert not {"datasets", "sklearn", "transformers", "torchvision"} & {name.split(".")[0] for name in imported}
