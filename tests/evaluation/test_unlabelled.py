"""A run without labels is complete: health, a map, neighbours, and a place in comparisons; or labels of other data."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo.cli import run
from ssl_zoo.compare.runs import ELSEWHERE
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.probe_data import open_probe_data
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.kept_features import load_features
from ssl_zoo.evaluation.neighbours import draw_neighbours, find_neighbours
from ssl_zoo.probes.health import rank_me
from ssl_zoo.runs.logged import read_metrics
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.whereabouts import whereabouts
from tests.made import write_images, write_texts, write_waves

SHORT = (
    "--trainer.max_steps=2", "--trainer.val_check_interval=1", "--trainer.accelerator=cpu", "--trainer.devices=1",
    "--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1",
    "--probe.draws=1", "--probe.labels_per_class=[1]", "--probe.ceiling=false", "--probe.layers=false",
)  # fmt: skip
IMAGES = ("--data.image_size=12", "--data.batch_size=8", "--model.encoder.depth=10", "--model.encoder.width=4")
TEXTS = (
    "--data.length=9", "--data.vocab_size=300", "--model.encoder.dim=16", "--model.encoder.depth=1",
    "--model.encoder.heads=2", "--model.max_new_tokens=2", "--data.batch_size=4",
)  # fmt: skip
SOUNDS = (
    "--data.crop_seconds=0.4", "--data.batch_size=4", "--model.encoder.dim=16", "--model.encoder.depth=1",
    "--model.encoder.heads=2", "--model.encoder.front_end.dim=16",
)  # fmt: skip


def fit(kind: str, root: Path, runs: Path, *options: str) -> Path:
    sizes = {"images": IMAGES, "texts": TEXTS, "speech": SOUNDS}[kind]
    before = set(runs.glob("*/*"))
    run(
        ["fit", "--config", f"own/{kind}", f"--data.source.root={root}", *SHORT, *sizes, f"--runs_dir={runs}", *options]
    )
    (directory,) = set(runs.glob("*/*")) - before
    return directory


def flat(folder: Path, made: Path) -> Path:
    """The files below a folder without their classes."""
    folder.mkdir(parents=True)
    for path in made.rglob("*.*"):
        path.rename(folder / f"{path.parent.name}-{path.name}")
    return folder


class Watched(NamedTuple):
    """A run on images without labels, and what was seen of it from outside."""

    root: Path
    runs: Path
    directory: Path
    said: str
    stages: list[str]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    top, stages, during = tmp_path_factory.mktemp("watched"), [], whereabouts.during
    root = write_images(top / "data", 40, classes=0)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as said:
        patch.setattr(whereabouts, "during", lambda what: stages.append(what) or during(what))
        directory = fit("images", root, top / "runs")
    return Watched(root, top / "runs", directory, said.getvalue(), stages)


def test_images_without_labels_have_health_a_map_and_neighbours_and_are_ranked(
    watched: Watched, tmp_path: Path, capsys: Any, untraced: None
) -> None:
    root, runs, first, said, _ = watched
    assert "There is no accuracy to measure: the data has no labels" in said
    assert "untrained encoder" in said and f"{first}" in said
    result = read_result(first)
    assert result.rows == {} and result.own_row == "SimCLR" and result.data.test == 8
    logged = read_metrics(first / "metrics.csv")
    assert {name: curve[-1][1] for name, curve in logged.items() if name.startswith("health/")} == result.health
    for name in ("feature_map.png", "neighbours.png", "views.png"):
        with Image.open(first / "figures" / name) as picture:
            assert picture.width > 100
    kept = load_features(first / "features.npz")
    assert kept.features.shape[0] == kept.map.shape[0] == 8 and (kept.labels == -1).all() and kept.classes == []
    words = (first / "neighbours.md").read_text()
    assert words.count("## ") == 8 and words.count(f"| {root}") == 8 * 5 and words.count(str(root)) == 8 + 8 * 5

    run(["export", "--run", str(first), "--out", str(tmp_path / "exported")])
    card = (tmp_path / "exported" / "README.md").read_text()
    alignment = f"alignment {result.health['health/alignment']:.3g}"
    assert "Evaluated without labels. Health of the features on held-out data: " in card and alignment in card

    second = fit("images", root, runs, "--model.temperature=0.5")
    run(["compare", str(runs), f"--out={tmp_path / 'out'}", "--rank_by=loss"])
    table = (tmp_path / "out" / "tables.md").read_text()
    ranked = sorted(read_metrics(each / "metrics.csv")["val/loss"][-1][1] for each in (first, second))
    assert table.index(f"{ranked[0]:.4g}") < table.index(f"{ranked[1]:.4g}")
    assert "Not ranked" not in capsys.readouterr().out and (tmp_path / "out" / "report.html").is_file()
    run(["compare", str(runs), f"--out={tmp_path / 'out'}"])
    assert "Ranked by the rank of the features, as there are no classes" in (tmp_path / "out" / "tables.md").read_text()


def test_texts_without_labels_have_neighbours_in_words(tmp_path: Path) -> None:
    lines = [json.loads(line)["text"] for line in write_texts(tmp_path / "labelled.jsonl").read_text().splitlines()]
    (tmp_path / "data").mkdir()
    for number, line in enumerate(lines):
        (tmp_path / "data" / f"{number}.txt").write_text(line)
    directory = fit("texts", tmp_path / "data", tmp_path / "runs")
    words = (directory / "neighbours.md").read_text()
    assert words.count("\n## ") == 8 and any(word in words for word in ("cow", "bread", "sees"))
    assert not (directory / "figures" / "neighbours.png").exists()
    assert read_result(directory).health["health/rank"] > 0


def test_recordings_without_labels_have_neighbours_by_name(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", write_waves(tmp_path / "made", 24))
    directory = fit("speech", root, tmp_path / "runs")
    assert f"{root}/0-" in (directory / "neighbours.md").read_text()
    assert not (directory / "figures" / "neighbours.png").exists()


def test_neighbours_are_the_nearest_by_the_angle_around_the_mean() -> None:
    among = torch.tensor([[11.0, 10.0], [9.0, 10.0], [10.0, 11.0], [10.0, 9.0], [30.0, 10.0], [-10.0, 10.0]])
    found = find_neighbours(torch.tensor([7]), torch.tensor([[10.1, 10.0]]), among, torch.arange(6) + 100)
    assert set(found.nearest[0, :2].tolist()) == {100, 104} and found.nearest.shape == (1, 5)
    assert found.similarities[0, 0] == pytest.approx(1.0)


def test_a_picture_of_neighbours_has_a_row_for_each_example(tmp_path: Path) -> None:
    for number in range(30):
        grey = np.full((12, 12, 3), 8 * number, dtype=np.uint8)
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.fromarray(grey).save(tmp_path / "data" / f"{number:02d}.png")
    data = ImageData(ImageFolder(tmp_path / "data"), image_size=12, batch_size=4)
    data.setup()

    def brightness(part: Any) -> torch.Tensor:
        return part.__getitems__(list(range(len(part)))).inputs[:, 0, 0, 0].float()

    test, train = brightness(data.test_set), brightness(data.train_set)
    places = torch.arange(3)
    # Two dimensions in which near means near: a half circle.
    of, among = (torch.stack([(x / 90).cos(), (x / 90).sin()], 1) for x in (test[places], train))
    found = find_neighbours(places, of, among, torch.arange(len(train)))
    assert draw_neighbours(found, data, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as opened:
        picture = np.asarray(opened)
    height = picture.shape[0] // 3
    for row, place in enumerate(found.shown.tolist()):
        middle = picture[row * height + height // 2, :, 0]
        seen = set(middle.tolist()) - {255}
        assert seen == {int(test[place]), *(int(train[each]) for each in found.nearest[row])}


def test_labelled_data_of_ones_own_probes_a_run_without_labels(tmp_path: Path, capsys: Any) -> None:
    root = write_images(tmp_path / "data", 40, classes=0)
    labelled = write_images(tmp_path / "labelled", 48, classes=3, first=100)
    directory = fit("images", root, tmp_path / "runs", f"--probe_data={labelled}")
    result = read_result(directory)
    assert result.data.source == "ImageFolder labelled" and result.data.test == 10
    assert {"SimCLR", "untrained encoder", "raw inputs"} <= set(result.rows)
    assert any("Pretrained on 29 examples of ImageFolder data" in remark for remark in result.remarks)
    assert any(remark.startswith(ELSEWHERE) for remark in result.remarks)
    assert not any("exact copies" in remark for remark in result.remarks)
    logged = read_metrics(directory / "metrics.csv")
    assert len(logged["probe/knn"]) == len(logged["probe/linear"]) == 2 and 0 <= logged["probe/knn"][0][1] <= 1
    first = (directory / "results.json").read_text()
    again = [option.replace("probe.", "") for option in SHORT if option.startswith("--probe.")]
    run(["probe", "--run", str(directory), *again])  # remembers what data it is probed on
    assert json.loads(first)["rows"] == json.loads((directory / "results.json").read_text())["rows"]
    write_images(labelled, 3, classes=3, first=200)  # the data has grown
    for command in (["probe", "--run", str(directory)], ["fit", f"--resume={directory}", "--trainer.max_steps=4"]):
        with pytest.raises(InputError, match="ImageFolder labelled is not what the run was probed on so far"):
            run(command)


def test_every_stage_of_it_has_a_name(watched: Watched) -> None:
    stages = {f"health of {row}" for row in ("SimCLR", "untrained encoder", "raw inputs")}
    assert {*stages, "nearest neighbours", "maps of the features", "FLOPs of a training step"} <= set(watched.stages)


def test_copies_of_what_is_pretrained_on_are_counted(tmp_path: Path) -> None:
    root = write_images(tmp_path / "data", 40, classes=0)
    labelled = write_images(tmp_path / "labelled", 48, classes=3, first=0)  # other brightness but for the first class
    data = ImageData(ImageFolder(root), image_size=12, batch_size=4)
    data.setup()
    other, remarks = open_probe_data(data, labelled)

    def contents(owner: Any, *parts: Any) -> list[bytes]:
        return [Path(owner.name_of(place)).read_bytes() for part in parts for place in part.chosen.tolist()]

    trained = set(contents(data, data.pretrain_set))
    held = contents(other, other.validation_set, other.test_set)
    shared = sum(content in trained for content in held)
    assert shared > 0 and remarks[-1].startswith(f"{shared} of {len(held)} images of ImageFolder labelled")
    with pytest.raises(InputError, match=r"probe_data: .* has no classes to evaluate on"):
        open_probe_data(data, root)
    with pytest.raises(InputError, match=r"probe_data: there is no .*nowhere"):
        open_probe_data(data, tmp_path / "nowhere")
    (tmp_path / "sounds").mkdir()
    with pytest.raises(InputError, match=r"probe_data: There is no image in .*sounds"):
        open_probe_data(data, tmp_path / "sounds")


def test_texts_to_probe_on_have_the_tokens_of_the_run(tmp_path: Path) -> None:
    labelled = write_texts(tmp_path / "labelled.jsonl", 90)
    (tmp_path / "data").mkdir()
    for number in range(60):
        (tmp_path / "data" / f"{number}.txt").write_text(f"the cat sees the bread {number} and {number * 7} cows")
    directory = fit("texts", tmp_path / "data", tmp_path / "runs", f"--probe_data={labelled}")
    result = read_result(directory)
    assert result.data.source == "TextFiles labelled.jsonl" and "tf-idf" in result.rows


def test_health_is_measured_on_the_features_that_are_kept(tmp_path: Path) -> None:
    root = write_images(tmp_path / "data", 40, classes=0)
    options = ("--trainer.limit_val_batches=0", "--trainer.num_sanity_val_steps=0")  # so that nothing is logged
    directory = fit("images", root, tmp_path / "runs", *options)
    kept = load_features(directory / "features.npz")
    rank = float(rank_me(torch.from_numpy(kept.features.astype(np.float32))))
    assert read_result(directory).health["health/rank"] == pytest.approx(rank, rel=1e-2)  # kept in 16 bits
