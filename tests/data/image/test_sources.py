import gzip
import hashlib
import pickle
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ssl_zoo.data.image.sources import fashion_mnist
from ssl_zoo.data.image.sources.digits import Digits
from ssl_zoo.data.image.sources.fashion_mnist import FashionMNIST
from ssl_zoo.data.image.sources.hugging_face import HuggingFaceImages
from ssl_zoo.data.image.sources.torchvision import CIFAR10, CIFAR100, STL10
from ssl_zoo.data.sources import debian
from ssl_zoo.errors import InputError

RANDOM = np.random.default_rng(0)


def all_of(images: Any, size: int) -> torch.Tensor:
    return images.read(torch.arange(len(images)), size)


def test_digits() -> None:
    from sklearn.datasets import load_digits

    loaded = Digits().load()
    original = torch.from_numpy(load_digits().images)
    pixels = all_of(loaded.train, 8)
    assert pixels.shape == (1797, 1, 8, 8) and pixels.dtype == torch.uint8
    assert ((pixels[:, 0].double() / 255 - original / 16).abs() <= 0.5 / 255).all()
    assert loaded.train.labels is not None and loaded.train.labels.dtype == torch.int64
    assert loaded.train.labels.tolist() == load_digits().target.tolist()
    assert loaded.classes == list("0123456789") and loaded.test is None and loaded.unlabelled is None


# Fashion-MNIST ------------------------------------------------------------------------------------------------------


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">i4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes()))


def write_fashion(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True)
    parts = {}
    for part, count in (("train", 20), ("t10k", 10)):
        parts[part] = RANDOM.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", parts[part])
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)
    return parts


def test_fashion_mnist_reads_idx_files(tmp_path: Path) -> None:
    parts = write_fashion(tmp_path / "fashion")
    loaded = FashionMNIST(tmp_path / "fashion").load()
    assert np.array_equal(all_of(loaded.train, 28).numpy()[:, 0], parts["train"])
    assert loaded.test is not None and loaded.test.labels is not None and len(loaded.classes) == 10
    assert np.array_equal(all_of(loaded.test, 28).numpy()[:, 0], parts["t10k"])
    assert loaded.test.labels.tolist() == list(range(10))


@pytest.mark.skipif(not fashion_mnist.INSTALLED.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian() -> None:
    loaded = FashionMNIST().load()
    assert loaded.test is not None and loaded.train.labels is not None
    assert (len(loaded.train), len(loaded.test)) == (60000, 10000)
    assert torch.bincount(loaded.train.labels).tolist() == [6000] * 10
    assert abs(all_of(loaded.train, 28).float().mean() / 255 - 0.2860) < 1e-4


def test_fashion_mnist_says_what_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train-images-idx3-ubyte\.gz in .*: give the folder"):
        FashionMNIST(tmp_path)
    write_fashion(tmp_path / "fashion")
    file = tmp_path / "fashion" / "t10k-images-idx3-ubyte.gz"
    for damaged in (
        file.read_bytes()[:100],
        b"nonsense",
        gzip.compress(b"\0\0\x08\x01\0\0\0\x09ab"),
        gzip.compress(b""),
    ):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=re.escape(f"{file} is damaged")):
            FashionMNIST(tmp_path / "fashion").load()


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Debian package, an empty cache and no network."""

    def offline(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(fashion_mnist, "INSTALLED", Path("/nowhere/fashion-mnist"))
    monkeypatch.setattr(fashion_mnist, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(shutil, "which", lambda command: None)
    return tmp_path


def test_fashion_mnist_offline_is_one_sentence(empty_machine: Path) -> None:
    with pytest.raises(InputError, match="install Debian's package dataset-fashion-mnist, or put") as error:
        FashionMNIST().load()
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not (shutil.which("dpkg-deb") and shutil.which("dpkg")), reason="needs Debian's tools")
def test_fashion_mnist_comes_from_the_debian_package(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = write_fashion(empty_machine / "package" / "nowhere" / "fashion-mnist")
    control = empty_machine / "package" / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: me <a@b.c>\nDescription: x\n"
    )
    archive = empty_machine / "made.deb"
    subprocess.run(["dpkg-deb", "--build", control.parent, archive], check=True, capture_output=True)
    calls = []
    run = debian._run

    def download_is_a_copy(command: list[str], folder: str) -> None:
        calls.append(command)
        if command[0] == "apt-get":
            shutil.copy(archive, Path(folder) / "x.deb")
        else:
            run(command, folder)

    monkeypatch.setattr(shutil, "which", lambda command: command)
    monkeypatch.setattr(debian, "_run", download_is_a_copy)
    for _ in range(2):
        assert np.array_equal(all_of(FashionMNIST().load().train, 28).numpy()[:, 0], parts["train"])
    assert [command[0] for command in calls] == ["apt-get", "dpkg"]  # the second time it is there


def test_a_package_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], folder: str) -> None:
        raise subprocess.CalledProcessError(100, command, stderr="W: hm\nE: Unable to locate package nothing\n")

    monkeypatch.setattr(shutil, "which", lambda command: command)
    monkeypatch.setattr(debian, "_run", fail)
    with pytest.raises(InputError, match=r"package nothing cannot be fetched \(E: Unable to locate package nothing\)"):
        debian.fetch_package("nothing", tmp_path)
    assert list(tmp_path.iterdir()) == []


# torchvision's ------------------------------------------------------------------------------------------------------


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(folder: Path, dataset: Any, key: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A training and a test file of four images in torchvision's format, with their true checksums."""
    base = folder / dataset.base_folder
    base.mkdir()
    rows = RANDOM.integers(0, 256, (2, 4, 3072), dtype=np.uint8)
    for name, data in zip(("train", "test"), rows, strict=True):
        (base / name).write_bytes(pickle.dumps({"data": data, key: [0, 1, 1, 0]}))
        monkeypatch.setattr(dataset, f"{name}_list", [[name, md5(base / name)]])
    meta = {**dataset.meta, "filename": "meta"}
    (base / "meta").write_bytes(pickle.dumps({meta["key"]: names}))
    monkeypatch.setattr(dataset, "meta", {**meta, "md5": md5(base / "meta")})
    return rows.reshape(2, 4, 3, 32, 32)


@pytest.mark.parametrize(
    ("source", "dataset", "key"),
    [(CIFAR10, datasets.CIFAR10, "labels"), (CIFAR100, datasets.CIFAR100, "fine_labels")],
)
@pytest.mark.filterwarnings("ignore:dtype\\(\\)")  # torchvision's unpickling with NumPy 2.4
def test_cifar(source: Any, dataset: Any, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write_cifar(tmp_path, dataset, key, ["cat", "dog"], monkeypatch)
    loaded = source(tmp_path).load()
    assert np.array_equal(all_of(loaded.train, 32).numpy(), rows[0])
    assert np.array_equal(all_of(loaded.test, 32).numpy(), rows[1])
    assert loaded.train.labels.tolist() == [0, 1, 1, 0] and loaded.classes == ["cat", "dog"]


@pytest.mark.parametrize("unlabelled", [False, True])
def test_stl10(unlabelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / datasets.STL10.base_folder
    base.mkdir()
    files = {
        "train_X.bin": RANDOM.integers(0, 256, (3, 3, 96, 96), dtype=np.uint8),
        "train_y.bin": np.array([1, 3, 2], dtype=np.uint8),
        "test_X.bin": RANDOM.integers(0, 256, (2, 3, 96, 96), dtype=np.uint8),
        "test_y.bin": np.array([10, 1], dtype=np.uint8),
        "unlabeled_X.bin": RANDOM.integers(0, 256, (4, 3, 96, 96), dtype=np.uint8),
    }
    for name, values in files.items():
        (base / name).write_bytes(values.tobytes())
    (base / datasets.STL10.class_names_file).write_text("\n".join(f"class {n}" for n in range(10)))
    sums = {name: [name, md5(base / name)] for name in files}
    monkeypatch.setattr(datasets.STL10, "test_list", [sums["test_X.bin"], sums["test_y.bin"]])
    monkeypatch.setattr(
        datasets.STL10, "train_list", [sums[n] for n in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")]
    )
    loaded = STL10(tmp_path, unlabelled=unlabelled).load()
    # the files hold every image column by column
    assert np.array_equal(all_of(loaded.train, 96).numpy(), files["train_X.bin"].swapaxes(2, 3))
    assert loaded.train.labels is not None and loaded.test is not None and loaded.test.labels is not None
    assert loaded.train.labels.tolist() == [0, 2, 1] and loaded.test.labels.tolist() == [9, 0]
    assert len(loaded.classes) == 10
    if unlabelled:
        assert loaded.unlabelled is not None and loaded.unlabelled.labels is None
        assert np.array_equal(all_of(loaded.unlabelled, 96).numpy(), files["unlabeled_X.bin"].swapaxes(2, 3))
    else:
        assert loaded.unlabelled is None


@pytest.mark.parametrize("source", [CIFAR10, CIFAR100, STL10])
def test_torchvision_offline_is_one_sentence(source: Any, empty_machine: Path) -> None:
    with pytest.raises(InputError, match=f"{source.__name__} is not in .*connect to the network once") as error:
        source(empty_machine).load()
    assert "\n" not in str(error.value)


# Hugging Face -------------------------------------------------------------------------------------------------------


def hub_data(count: int, **columns: Any) -> Any:
    import datasets as hub

    images = [Image.fromarray(RANDOM.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in range(count)]
    features = hub.Features(
        {"picture": hub.Image(), "number": hub.Value("int64"), "kind": hub.ClassLabel(names=["a", "b"])}
    )
    rows = {"picture": images, "number": list(range(count)), "kind": [n % 2 for n in range(count)]}
    return hub.Dataset.from_dict(rows, features=features), images


def test_hugging_face_folder_with_two_splits(tmp_path: Path) -> None:
    import datasets as hub

    (train, images), (test, _) = hub_data(5), hub_data(3)
    hub.DatasetDict({"train": train, "test": test}).save_to_disk(tmp_path / "data")
    loaded = HuggingFaceImages(str(tmp_path / "data")).load()
    assert np.array_equal(all_of(loaded.train, 6).numpy(), np.stack([np.asarray(i).transpose(2, 0, 1) for i in images]))
    assert loaded.train.labels is not None and loaded.train.labels.tolist() == [0, 1, 0, 1, 0]
    assert loaded.classes == ["a", "b"] and loaded.test is not None and len(loaded.test) == 3
    assert all_of(HuggingFaceImages(str(tmp_path / "data"), channels=1).load().train, 4).shape == (5, 1, 4, 4)


def test_hugging_face_columns_by_name(tmp_path: Path) -> None:
    hub_data(5)[0].save_to_disk(tmp_path / "data")
    folder = str(tmp_path / "data")
    loaded = HuggingFaceImages(folder, label_column="number").load()
    assert loaded.test is None and loaded.classes == list("01234")
    assert loaded.train.labels is not None and loaded.train.labels.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="no column nothing: choose from picture, number, kind"):
        HuggingFaceImages(folder, image_column="nothing").load()
    hub_data(5)[0].remove_columns("picture").save_to_disk(tmp_path / "other")
    with pytest.raises(InputError, match="no image column among number, kind: set image_column"):
        HuggingFaceImages(str(tmp_path / "other")).load()


def test_hugging_face_offline_or_wrong_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets as hub

    def offline(*args: Any) -> None:
        raise ConnectionError("many\nlines")

    monkeypatch.setattr(hub, "load_dataset", offline)
    for name in ("some/images", str(tmp_path)):  # a name on the hub; a folder that holds no data set
        with pytest.raises(InputError, match=f"{name} could not be loaded .*: check its name") as error:
            HuggingFaceImages(name).load()
        assert "\n" not in str(error.value)
    hub.DatasetDict({"validation": hub_data(2)[0]}).save_to_disk(tmp_path / "data")
    with pytest.raises(InputError, match="no split called train, only validation"):
        HuggingFaceImages(str(tmp_path / "data")).load()
    with pytest.raises(InputError, match="channels is 0"):
        HuggingFaceImages("some/images", channels=0)


def test_hugging_face_images_keep_their_depth_where_the_user_asks(tmp_path: Path) -> None:
    import datasets as hub

    values = RANDOM.integers(0, 4096, (4, 6, 6)).astype(np.uint16)
    rows = {"picture": [Image.fromarray(each) for each in values]}
    hub.Dataset.from_dict(rows, features=hub.Features({"picture": hub.Image()})).save_to_disk(tmp_path / "deep")
    source = HuggingFaceImages(str(tmp_path / "deep"), channels=1, dtype="float32", value_range=(0, 4095))
    pixels = source.load().train.read(torch.arange(4), 6)
    torch.testing.assert_close(pixels[:, 0], torch.from_numpy(values.astype(np.float32)) / 4095)
    with pytest.raises(InputError, match="dtype is float64"):
        HuggingFaceImages("some/images", dtype="float64")
