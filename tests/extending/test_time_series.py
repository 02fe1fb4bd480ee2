"""A fourth modality, time series, takes four files: a source, a data module, an encoder and views.

They lie in time_series/ beside this test, and nothing in ssl_zoo knows of them. Methods, probes of classes, places and
layers, fine-tuning, tables, pictures and exports take them as they take images, texts and speech.
"""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import ssl_zoo
from ssl_zoo.cli import main, run
from ssl_zoo.probes import weighted_layers
from ssl_zoo.runs.run import load_run

FOLDER = Path(__file__).parent / "time_series"
HERE = "tests.extending.time_series"


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """A short run of SimCLR, evaluated at its end."""
    runs = tmp_path_factory.mktemp("runs")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(weighted_layers, "STEPS", 150)
    run(
        ["fit", "--model=SimCLR", f"--model.encoder={HERE}.encoder.SeriesEncoder",
         f"--model.views={HERE}.views.SeriesViews", "--model.projection_hidden=16", "--model.projection_dim=8",
         f"--data={HERE}.data.SeriesData", f"--data.source={HERE}.source.Rhythms", "--experiment=series",
         f"--runs_dir={runs}", "--trainer.max_steps=4", "--trainer.accelerator=cpu", "--trainer.precision=32-true",
         "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--probe.draws=2",
         "--probe.labels_per_class=[5]"]
    )  # fmt: skip
    monkeypatch.undo()
    (directory,) = runs.glob("series/*")
    return directory


def test_it_takes_four_files():
    assert sorted(path.name for path in FOLDER.glob("*.py")) == ["data.py", "encoder.py", "source.py", "views.py"]
    package = Path(ssl_zoo.__file__).parent
    named = [path for path in package.rglob("*.py") if "time_series" in path.read_text(encoding="utf-8")]
    assert named == []


def test_it_is_evaluated_as_others_are(directory):
    record = json.loads((directory / "results.json").read_text())
    assert record["modality"] == "series" and list(record["rows"]) == [
        "SimCLR", "untrained encoder", "raw inputs", "supervised"
    ]  # fmt: skip
    assert set(record["meanings"]) == {"untrained encoder", "raw inputs", "majority class"}
    for row in ("SimCLR", "untrained encoder"):
        layers = record["layers"][row]
        assert len(layers["test"]) == len(layers["validation"]) == 3  # what enters, and two convolutions
        assert layers["validation"][layers["chosen"]] == max(layers["validation"])
    states = record["tasks"]["state"]
    assert list(states) == ["SimCLR", "untrained encoder", "majority class"]
    # What a series does at a moment stands in the vector of that moment.
    assert states["untrained encoder"]["accuracy"] > states["majority class"]["accuracy"] + 0.2
    assert record["task_sizes"]["state"] == {"classes": 2, "train": 77 * 12, "validation": 19 * 12, "test": 24 * 12}
    with Image.open(directory / "figures" / "views.png") as picture:
        assert picture.size[0] > picture.size[1]  # three columns, with axes
    assert {path.name for path in (directory / "figures").iterdir()} == {
        "views.png", "label_efficiency.png", "feature_map.png", "layer_weights.png"
    }  # fmt: skip


def test_its_encoder_took_the_channels_from_the_data(directory):
    loaded = load_run(directory)
    assert loaded.method.encoder.project.in_channels == loaded.data.channels == 3


@pytest.mark.parametrize(("task", "numbers"), [("classes", "--labels_per_class=[5]"), ("state", "--examples=[20]")])
def test_it_is_fine_tuned_on_series_and_on_moments_of_them(directory, task, numbers):
    run(["finetune", f"--run={directory}", f"--task={task}", numbers, "--draws=1", "--steps=40", "--epochs=1",
         "--batch_size=16", "--learning_rate=0.01"])  # fmt: skip
    record = json.loads((directory / f"finetune-{task}.json").read_text())
    assert list(record["rows"]) == ["SimCLR", "before", "untrained encoder"]
    assert record["rows"]["SimCLR"]["accuracy"]["all"]["mean"] > 0.75


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # of torch.export's own reading
def test_it_is_compared_and_exported(directory, tmp_path, capsys):
    run(["compare", str(directory.parent), f"--out={tmp_path / 'report'}"])
    assert "SimCLR" in (tmp_path / "report" / "tables.md").read_text()
    assert "raw inputs: the inputs themselves, flattened" in (tmp_path / "report" / "report.html").read_text()
    run(["export", f"--run={directory}", f"--out={tmp_path / 'export'}"])
    card = (tmp_path / "export" / "README.md").read_text()
    assert "It turns series into vectors of 16 numbers" in card and "| state | SimCLR |" in card
    program = torch.export.load(tmp_path / "export" / "encoder.pt2").module()
    loaded = load_run(directory)
    inputs = loaded.data.test_set.__getitems__([0, 1, 2]).inputs
    with torch.no_grad():
        torch.testing.assert_close(program(inputs)["pooled"], loaded.method.encoder(inputs).pooled)


def test_what_cannot_be_done_with_it_is_refused_in_a_sentence(directory, capsys):
    for options, sentence in (
        (["finetune", f"--run={directory}", "--task=tags"], "tags are a task on text"),
        (["finetune", f"--run={directory}", "--task=weather"], "has no task weather: choose one of classes, state"),
        (["in-context", f"--run={directory}"], "is no run of GPT on texts"),
        (["probe-public", "--encoder=torchvision:resnet18", f"--data={HERE}.data.SeriesData"],
         "public encoders read images, text or speech, and SeriesData no such"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as stopped:
            main(options)
        assert stopped.value.code == 2 and sentence in capsys.readouterr().err
