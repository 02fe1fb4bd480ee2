"""What `predict` leaves is what the method represents, of every example once and in order, on any number of ranks."""

import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.embeddings import Embeddings
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.parts.texts import Texts

BATCH = 64  # 359 test images: the last batch has 39, which two ranks cannot share evenly


class Plain(Method):
    """A method that is never trained."""

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        raise NotImplementedError


class Writer(Plain):
    """Predicts something else than vectors, as a language model does."""

    def predict_step(self, batch: Batch, batch_idx: int) -> Texts:
        ids = batch.index[:, None].expand(-1, 5)
        return Texts(ids, torch.ones_like(ids, dtype=torch.bool))


def method(kind: type[Method] = Plain) -> Method:
    torch.manual_seed(3)
    return kind(MLP([12], image_size=8))


def data() -> ImageData:
    return ImageData(batch_size=BATCH)


def predict(
    folder: Path, callback: Embeddings, module: Method, examples: L.LightningDataModule, **settings: Any
) -> Path:
    trainer = L.Trainer(accelerator="cpu", logger=CSVLogger(folder, "a", "b"), callbacks=[callback],
                        enable_progress_bar=False, enable_model_summary=False, **settings)  # fmt: skip
    trainer.predict(module, datamodule=examples)
    return folder / "a" / "b"


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def expected(module: Method) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    examples = data()
    examples.setup()
    test: Examples = examples.test_set
    batch = test.__getitems__(list(range(len(test))))
    with torch.no_grad():
        return module.encode(batch).pooled.numpy(), batch.labels.numpy(), batch.index.numpy()


@pytest.mark.parametrize("kind", [Plain, Writer])
def test_every_example_is_written_with_its_label_and_place(tmp_path, capsys, kind):
    written = predict(tmp_path, Embeddings(), method(kind), data()) / "embeddings.npz"
    assert f"Embeddings of 359 examples: {written}" in capsys.readouterr().out
    found = read(written)
    features, labels, index = expected(method(kind))
    assert found["features"].dtype == np.float32 and found["features"].shape == (359, 12)
    np.testing.assert_allclose(found["features"], features, atol=1e-6)
    assert found["labels"].tolist() == labels.tolist() and found["index"].tolist() == index.tolist()


def test_parquet_holds_the_same(tmp_path):
    from pyarrow import parquet

    directory = predict(tmp_path, Embeddings("parquet"), method(), data())
    table = parquet.read_table(directory / "embeddings.parquet").to_pydict()
    features, labels, index = expected(method())
    np.testing.assert_allclose(np.array(table["features"]), features, atol=1e-6)
    assert table["labels"] == labels.tolist() and table["index"] == index.tolist()


@pytest.mark.parametrize("part", ["train", "validation", "test", "pretrain"])
def test_any_part_is_embedded(tmp_path, part):
    examples = data()
    found = read(predict(tmp_path, Embeddings(part=part), method(), examples) / "embeddings.npz")
    chosen = getattr(examples, f"{part}_set").chosen
    assert found["index"].tolist() == chosen.tolist()
    assert found["classes"].tolist() == [str(digit) for digit in range(10)]
    assert found["labels"].tolist() == examples.train_set.images.labels[chosen].tolist()
    assert "names" not in found  # scikit-learn's digits have none


@pytest.mark.parametrize("file_format", ["npz", "parquet"])
def test_files_stand_under_their_names_with_their_classes(tmp_path, file_format):
    from pyarrow import parquet

    random = np.random.default_rng(0)
    for part, label in product(("train", "test"), ("cat", "dog")):
        (tmp_path / "data" / part / label).mkdir(parents=True)
        for name in (b"a.png", b"\xe9.png"):
            path = os.fsdecode(os.fsencode(tmp_path / "data" / part / label) + b"/" + name)
            Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    images = ImageData(ImageFolder(tmp_path / "data", channels=1), image_size=8, batch_size=3)
    path = predict(tmp_path, Embeddings(file_format), method(), images) / f"embeddings.{file_format}"
    names = [f"{tmp_path.resolve()}/data/test/{label}/{name}" for label in ("cat", "dog")
             for name in ("a.png", "\\xe9.png")]  # fmt: skip
    if file_format == "npz":
        found = read(path)
        assert found["names"].tolist() == names
        assert found["classes"][found["labels"]].tolist() == ["cat", "cat", "dog", "dog"]
    else:
        table = parquet.read_table(path).to_pydict()
        assert table["names"] == names and table["class"] == ["cat", "cat", "dog", "dog"]


def test_parquet_without_pyarrow_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"install ssl_zoo\[hub\]"):
        Embeddings("parquet")


class Unlabelled(ImageData):
    """The same digits, whose labels nobody knows."""

    def read(self) -> None:
        super().read()
        self.test_set.labels = None


def test_data_without_labels_gets_none(tmp_path):
    directory = predict(tmp_path, Embeddings(), method(), Unlabelled(batch_size=BATCH))
    assert set(read(directory / "embeddings.npz")) == {"features", "index"}


def test_some_batches_give_some_examples(tmp_path):
    directory = predict(tmp_path, Embeddings(), method(), data(), limit_predict_batches=2)
    assert len(read(directory / "embeddings.npz")["index"]) == 2 * BATCH


def predict_as_rank(folder: Path) -> None:
    """The part of one of two processes."""
    predict(folder, Embeddings(), method(), data(), strategy="ddp", devices=2)


def test_two_processes_write_what_one_does(two_processes, tmp_path):
    two_processes(predict_as_rank, tmp_path)
    (written,) = tmp_path.rglob("embeddings*")
    found = read(written)
    features, labels, index = expected(method())
    assert found["index"].tolist() == index.tolist() and found["labels"].tolist() == labels.tolist()
    np.testing.assert_allclose(found["features"], features, atol=1e-6)
