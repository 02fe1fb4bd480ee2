"""A run is used on data that is split as it was while it trained, or refused in a sentence that says what differs."""

import json
from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import run
from ssl_zoo.data.same_split import SplitRecord, require_same_split
from ssl_zoo.errors import InputError
from tests.made import write_images

FOLDER = Path(__file__).parents[2] / "experiments"
SMALL = [
    "--config", str(FOLDER / "image" / "simclr.yaml"), "--config", str(FOLDER / "smoke.yaml"),
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--model.encoder.depth=10",
    "--model.encoder.width=8", "--model.encoder.channels=1", "--data.source=ImageFolder", "--data.source.channels=1",
    "--data.image_size=8", "--data.train_size=null", "--model.encoder.mean=0.5",  # a range, which fits any images
]  # fmt: skip


def draw(folder: Path, *, first: int, count: int) -> None:
    write_images(folder, count, 2, (8, 8), first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with images, and a run on them; seven more images have come since."""
    top = tmp_path_factory.mktemp("grown")
    draw(top / "images", first=0, count=60)
    run(["fit", *SMALL, f"--data.source.root={top / 'images'}", f"--runs_dir={top / 'runs'}"])
    draw(top / "images", first=60, count=7)
    return top


def commands(top: Path) -> dict[str, list[str]]:
    (directory,) = (top / "runs").glob("*/*")
    here, on_data = f"--run={directory}", [*SMALL, f"--data.source.root={top / 'images'}", f"--runs_dir={top / 'more'}"]
    checkpoint = f"--ckpt_path={directory / 'checkpoints' / 'last.ckpt'}"
    return {
        "probe": ["probe", here, "--draws=1", "--labels_per_class=[1]", "--ceiling=false"],
        "finetune": ["finetune", here, "--draws=1", "--steps=1", "--labels_per_class=[1]"],
        "export": ["export", here, f"--out={top / 'exported'}"],
        "fit": ["fit", *on_data, checkpoint, "--trainer.max_steps=3"],
        "validate": ["validate", *on_data, checkpoint],
        "test": ["test", *on_data, checkpoint],
        "predict": ["predict", *on_data, checkpoint],
    }


@pytest.mark.parametrize("name", ["probe", "finetune", "export", "fit", "validate", "test"])
def test_a_run_whose_data_has_grown_is_refused_and_says_what_differs(trained, name):
    with pytest.raises(InputError) as refusal:
        run(commands(trained)[name])
    sentence = str(refusal.value)
    # A fifth of 60 and of 67 is for testing, a tenth of the rest for validation.
    assert "43 training, 5 validation and 12 test examples" in sentence
    assert "49 training, 5 validation and 13 test examples" in sentence
    assert "allow_other_split" in sentence


@pytest.mark.parametrize("options", [["fit", "--allow_other_split=true"], ["predict"]], ids=" ".join)
def test_it_is_used_all_the_same_where_that_is_asked_for_or_nothing_is_evaluated_and_warned_of(trained, options):
    name, *override = options
    with pytest.warns(UserWarning, match="trained on ImageFolder images .* examples that it has seen"):
        run([*commands(trained)[name], *override])


def test_results_that_are_allowed_all_the_same_say_so(trained):
    with pytest.warns(UserWarning, match="examples that it has seen"):
        run([*commands(trained)["probe"], "--allow_other_split=true"])
    (path,) = (trained / "runs").glob("*/*/results.json")
    assert any("49 training" in remark and "has seen" in remark for remark in json.loads(path.read_text())["remarks"])


def test_a_run_on_unchanged_data_is_used_from_any_folder_and_from_where_the_data_is_linked(tmp_path, monkeypatch):
    draw(tmp_path / "images", first=0, count=40)
    monkeypatch.chdir(tmp_path)
    run(["fit", *SMALL, "--data.source.root=images", "--runs_dir=runs"])
    (directory,) = (tmp_path / "runs").glob("*/*")
    monkeypatch.chdir("/")
    settings = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["datamodule_hyper_parameters"]
    assert settings["source"]["init_args"]["root"] == str(tmp_path / "images")
    assert f"root: {tmp_path / 'images'}" in (directory / "config.yaml").read_text()
    run(["probe", f"--run={directory}", "--draws=1", "--labels_per_class=[1]", "--ceiling=false"])
    assert (directory / "results.json").is_file()


def test_a_run_whose_data_is_gone_is_refused_in_the_sources_words(tmp_path):
    draw(tmp_path / "images", first=0, count=40)
    run(["fit", *SMALL, f"--data.source.root={tmp_path / 'images'}", f"--runs_dir={tmp_path / 'runs'}"])
    (tmp_path / "images").rename(tmp_path / "moved")
    (directory,) = (tmp_path / "runs").glob("*/*")
    with pytest.raises(InputError, match=f"There is no folder {tmp_path / 'images'}"):
        run(["probe", f"--run={directory}"])


SPLIT: SplitRecord = {"source": "Digits", "hash": "a", "train": 1000, "validation": 100, "test": 200}


def test_as_many_other_examples_are_another_split():
    require_same_split(SPLIT, {**SPLIT}, allow_other=False)
    with pytest.raises(InputError, match="as many examples of that name are others"):
        require_same_split(SPLIT, {**SPLIT, "hash": "b"}, allow_other=False)


def test_a_checkpoint_that_keeps_no_split_is_warned_of():
    with pytest.warns(UserWarning, match="does not say how its data was split"):
        require_same_split(None, SPLIT, allow_other=False)
