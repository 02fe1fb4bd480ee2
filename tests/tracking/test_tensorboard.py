"""What a run leaves for TensorBoard, read back with TensorBoard's own reader."""

import csv
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ssl_zoo.cli import main, run
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.tracking.results import summary_of

ROOT = Path(__file__).parents[2]
OVERLAY = ["--config", str(ROOT / "experiments" / "tensorboard.yaml")]
QUICKSTART = ["--config", str(ROOT / "experiments" / "quickstart.yaml")]
SMALL = ["--data.batch_size=64", "--data.image_size=12", "--data.train_size=192", "--trainer.log_every_n_steps=1",
         "--trainer.check_val_every_n_epoch=1", "--probe.draws=1", "--probe.labels_per_class=[1]",
         "--probe.ceiling=false", "--probe.layers=false"]  # fmt: skip


def read(directory: Path) -> EventAccumulator:
    """All that TensorBoard shows of a run."""
    found = EventAccumulator(str(directory / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0})
    return found.Reload()


def text(found: EventAccumulator, name: str) -> str:
    """A text by its name, which TensorBoard's plugin keeps as a tensor."""
    (event,) = found.Tensors(f"{name}/text_summary")
    return event.tensor_proto.string_val[0].decode()


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """A short run on digits."""
    runs = tmp_path_factory.mktemp("tensorboard")
    run(["fit", *QUICKSTART, *OVERLAY, "--runs_dir", str(runs), "--trainer.max_steps=6", *SMALL])
    (directory,) = runs.glob("quickstart/*")
    return directory


def test_every_number_of_the_csv_file_is_logged_under_its_name_and_step(directory):
    found = read(directory)
    with (directory / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {name for row in rows for name in row if name not in ("step", "epoch")}
    assert "train/loss" in names and "probe/knn" in names
    for name in names:
        wanted = [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-5)) for row in rows if row[name]]
        assert [(event.step, event.value) for event in found.Scalars(name)] == wanted, name


def test_pictures_are_those_of_the_run(directory):
    found = read(directory)
    assert set(found.Tags()["images"]) == {"figures/views", "figures/label_efficiency", "figures/feature_map"}
    for name in found.Tags()["images"]:
        (event,) = found.Images(name)
        with Image.open(BytesIO(event.encoded_image_string)) as logged, Image.open(directory / f"{name}.png") as kept:
            assert event.step == 6 and logged.tobytes() == kept.convert("RGB").tobytes()


def test_results_and_settings_are_there(directory):
    found, result = read(directory), read_result(directory)
    for name, value in summary_of(result).items():
        assert [event.value for event in found.Scalars(name)] == [pytest.approx(value, rel=1e-5)], name
    mean = result.rows["raw inputs"]["knn"]["all"].mean
    assert f"| raw inputs | knn | all | {mean:.4f} |" in text(found, "result/table")
    assert "    max_steps: 6" in text(found, "settings")


def test_all_of_it_lies_in_the_folder_of_the_run(directory):
    assert {path.name for path in directory.parent.iterdir()} == {directory.name}
    assert list((directory / "tensorboard").glob("events.out.tfevents.*"))


def test_texts_are_logged_and_a_run_that_goes_on_shows_each_step_once(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(40):
        (texts / f"{number}.txt").write_text(f"the cat number {number} sat on the mat and saw the other cat " * 4)
    experiment = [
        "--config", str(ROOT / "experiments" / "text" / "gpt_characters.yaml"), *OVERLAY,
        "--data.source", "TextFiles", "--data.source.root", str(texts), "--data.batch_size=4",
        "--trainer.log_every_n_steps=1", "--trainer.accumulate_grad_batches=1", "--runs_dir", str(tmp_path / "runs"),
        "--probe_after_fit=false", "--trainer.limit_val_batches=1", "--trainer.num_sanity_val_steps=0",
        "--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=2",
    ]  # fmt: skip
    run(["fit", *experiment, "--trainer.max_steps=2"])
    (directory,) = (tmp_path / "runs").glob("*/*")
    run(["fit", "--resume", str(directory), *OVERLAY, "--trainer.max_steps=4"])  # the overlay once more, one logger
    assert (directory / "config.yaml").read_text().count("tracking.tensorboard.TensorBoard") == 1
    found = read(directory)
    with (directory / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert [event.step for event in found.Scalars("train/loss")] == steps and len(set(steps)) == 4
    written = (directory / "samples.txt").read_text().splitlines()[0]
    last: Any = found.Tensors("texts/text_summary")[-1]
    assert written in last.tensor_proto.string_val[0].decode()


def test_without_it_one_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *QUICKSTART, *OVERLAY, "--runs_dir", str(tmp_path / "runs"), "--trainer.max_steps=1", *SMALL])
    said = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2 and not (tmp_path / "runs").exists()
    assert said[-1].startswith("ssl-zoo: error: TensorBoard is not installed: install ssl_zoo[tensorboard]")
