"""`predict --run` embeds the run's data, or any other, as the run itself reads it, and says what every row is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo.cli import main, run
from ssl_zoo.data.text.documents import Documents
from ssl_zoo.errors import InputError
from ssl_zoo.probes.features import extract
from ssl_zoo.runs.run import load_run
from tests.made import write_images, write_texts, write_waves
from tests.small_runs import elsewhere, small_run


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def predicted(small, out: Path, *options: str) -> dict[str, np.ndarray]:
    run(["predict", "--run", str(small.directory), f"--out={out}", *options])
    return read(out)


def test_all_examples_are_embedded_with_their_names_classes_positions_and_parts(each_small_run, tmp_path):
    found = predicted(each_small_run, tmp_path / "all.npz")
    loaded = load_run(each_small_run.directory)
    total = sum(map(len, loaded.data.parts().values()))
    assert found["index"].tolist() == list(range(total)) and len(found["features"]) == total
    assert str(each_small_run.root) in found["names"][0]
    for part, examples in loaded.data.parts().items():
        rows = examples.positions.numpy()
        assert (found["part"][rows] == part).all()
        wanted = extract(lambda batch: loaded.method.encode(batch).pooled, examples, torch.device("cpu"))
        np.testing.assert_allclose(found["features"][rows], wanted.vectors.numpy(), rtol=1e-4, atol=1e-5)
        assert found["labels"][rows].tolist() == wanted.labels.tolist()
    assert found["classes"].tolist() == loaded.data.classes
    if each_small_run.root.is_dir():  # the folder that a file lies in is its class
        folders = [Path(name).parent.name for name in found["names"]]
        assert found["classes"][found["labels"]].tolist() == folders


@pytest.mark.parametrize(("given", "part"), [("val", "validation"), ("test", "test"), ("train", "train")])
def test_one_part_of_images(each_small_run, tmp_path, given, part):
    found = predicted(each_small_run, tmp_path / "part.npz", f"--part={given}")
    examples = load_run(each_small_run.directory).data.parts()[part]
    assert found["index"].tolist() == sorted(examples.positions.tolist()) and "part" not in found


def test_moved_data_is_embedded(each_small_run, tmp_path):
    before = predicted(each_small_run, tmp_path / "before.npz")
    with elsewhere(each_small_run) as moved:
        after = predicted(each_small_run, tmp_path / "after.npz", "--root", str(moved))
    np.testing.assert_allclose(before["features"], after["features"], rtol=1e-4, atol=1e-6)
    assert str(moved) in after["names"][0]


def other(modality: str, folder: Path) -> Path:
    """Two or three unlabelled examples, far too few to be split."""
    if modality == "image":
        return write_images(folder, 3, 0, (33, 21, 3), first=500)
    if modality == "text":
        folder.mkdir()
        (folder / "a.txt").write_text("The dog sees milk.")
        (folder / "b.txt").write_text("Quite other words altogether, none of which a tokenizer has met before")
        return folder
    write_waves(folder, 3)
    return folder


def test_other_data_is_embedded_as_the_run_reads_its_own_which_may_be_gone(each_small_run, tmp_path):
    loaded = load_run(each_small_run.directory)
    folder = other(loaded.data.modality, tmp_path / "other")
    with elsewhere(each_small_run):
        found = predicted(each_small_run, tmp_path / "other.npz", "--data", str(folder))
    count = len(list(folder.rglob("*.*")))
    assert found["index"].tolist() == list(range(count)) and "part" not in found
    paths = [Path(name) for name in found["names"]]
    assert all(path.is_relative_to(folder.resolve()) for path in paths)
    inputs = [path.read_text() for path in paths] if loaded.data.modality == "text" else paths
    np.testing.assert_allclose(found["features"], loaded.embed(inputs), rtol=1e-4, atol=1e-5)


def test_other_texts_are_read_by_the_runs_own_tokenizer(each_small_run, tmp_path):
    loaded = load_run(each_small_run.directory)
    if loaded.data.modality != "text":
        pytest.skip("only texts have tokens")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("cat dog bread milk")
    found = predicted(each_small_run, tmp_path / "out.npz", f"--data.source.root={tmp_path / 'texts'}")
    ids = loaded.data.tokens().tokenizer.encode(["cat dog bread milk"])[0].astype(np.int64)
    with torch.no_grad():
        wanted = loaded.encoder(torch.from_numpy(ids)[None]).pooled
    np.testing.assert_allclose(found["features"], wanted.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="tokenizer"):
        predicted(each_small_run, tmp_path / "x.npz", "--data", str(tmp_path / "texts"), "--data.tokenizer=bpe")


def test_a_run_that_keeps_no_tokenizer_takes_that_of_its_data_or_is_refused(tmp_path):
    small = small_run("text", tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("cat dog bread milk")
    found = predicted(small, tmp_path / "new.npz", "--data", str(tmp_path / "texts"))
    path = small.directory / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["TextData"]["tokenizer_itself"]  # as in checkpoints of before
    torch.save(checkpoint, path)
    again = predicted(small, tmp_path / "old.npz", "--data", str(tmp_path / "texts"))
    np.testing.assert_allclose(again["features"], found["features"], rtol=1e-4, atol=1e-6)
    with elsewhere(small), pytest.raises(InputError, match="There is no"):
        predicted(small, tmp_path / "x.npz", "--data", str(tmp_path / "texts"))
    small.root.write_text("\n".join(json.dumps({"text": f"other words {number}"}) for number in range(99)))
    with pytest.raises(InputError, match="made with another tokenizer"):
        predicted(small, tmp_path / "x.npz", "--data", str(tmp_path / "texts"))


def test_unlabelled_texts_are_embedded_one_by_one_where_rows_are_packed(tmp_path):
    (tmp_path / "texts").mkdir()
    for number in range(30):
        (tmp_path / "texts" / f"{number:02}.txt").write_text(f"the cat number {number} sees a dog and bread and milk")
    run(["fit", "--model=GPT", "--model.encoder=GPT2Encoder", "--model.encoder.dim=16", "--model.encoder.depth=1",
         "--model.encoder.heads=2", "--model.encoder.max_length=16", "--data=TextData", "--data.source=TextFiles",
         f"--data.source.root={tmp_path / 'texts'}", "--data.vocab_size=300", "--data.tokenizer=bpe",
         "--data.length=8", "--data.batch_size=4", "--trainer.max_steps=1", "--probe_after_fit=false",
         f"--runs_dir={tmp_path / 'runs'}", "--trainer.accelerator=cpu"])  # fmt: skip
    (directory,) = (tmp_path / "runs").glob("*/*")
    run(["predict", "--run", str(directory)])
    found = read(directory / "embeddings-all.npz")
    assert [Path(name).name for name in found["names"]] == [f"{number:02}.txt" for number in range(30)]
    assert "labels" not in found and "classes" not in found
    loaded = load_run(directory)
    documents = Documents(loaded.data.corpus, torch.arange(30), 8)
    wanted = extract(lambda batch: loaded.method.encode(batch).pooled, documents, torch.device("cpu"))
    np.testing.assert_allclose(found["features"], wanted.vectors.numpy(), rtol=1e-4, atol=1e-5)


def test_labelled_and_unlabelled_images_go_into_one_parquet_file_in_their_order(each_small_run, tmp_path):
    from pyarrow import parquet

    if load_run(each_small_run.directory).data.modality != "image":
        pytest.skip("one kind of file is enough")
    write_images(tmp_path / "mixed", 4, 2, (9, 9))
    Image.fromarray(np.full((9, 9), 7, dtype=np.uint8)).save(tmp_path / "mixed" / "loose.png")
    with pytest.warns(UserWarning):  # one of them lies beside the classes
        run(["predict", "--run", str(each_small_run.directory), "--data", str(tmp_path / "mixed"),
             "--out", str(tmp_path / "x.parquet")])  # fmt: skip
    table = parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert table["index"] == [0, 1, 2, 3, 4]
    named = dict(zip([Path(name).name for name in table["names"]], table["class"], strict=True))
    assert named == {"000.png": "class00", "002.png": "class00", "001.png": "class01", "003.png": "class01",
                     "loose.png": ""}  # fmt: skip
    assert np.array(table["features"]).shape == (5, load_run(each_small_run.directory).encoder.dim)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--part=some"], r"part.*some"),
        (["--out=x.csv"], r"x\.csv must end in \.npz or \.parquet"),
        (["--config", "quickstart"], "--run has its own settings and checkpoint"),
        (["--data", "elsewhere/photos"], "--data: there is no file or folder elsewhere/photos"),
        (["--data", "photos"], "--data: there is no file or folder photos"),
        (["--data", "TextData"], "reads images, and TextData has texts"),
        (["--data.source.channels=3", "--data.source.root={root}"], "its channels is 3"),
        (["--prat=all"], "prat"),
    ],
)
def test_what_makes_no_sense_is_refused(image_run, tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--run", str(image_run.directory), *(each.format(root=image_run.root) for each in options)])
    assert ended.value.code == 2 and re.search(sentence, capsys.readouterr().err)


def test_a_file_that_exists_is_not_overwritten(image_run, tmp_path):
    (tmp_path / "x.npz").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        predicted(image_run, tmp_path / "x.npz")
    assert (tmp_path / "x.npz").read_text() == "precious"


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return small_run("image", tmp_path_factory.mktemp("image"))


def test_texts_in_one_file_are_other_data_too(each_small_run, tmp_path):
    if load_run(each_small_run.directory).data.modality != "text":
        pytest.skip("a file of many is for texts")
    write_texts(tmp_path / "more.jsonl", 5)
    found = predicted(each_small_run, tmp_path / "out.npz", f"--data={tmp_path / 'more.jsonl'}")
    assert len(found["features"]) == 5 and found["classes"].tolist() == ["animals", "food"]
