"""What Weights & Biases is sent, read back from the file that `wandb sync` would upload, and the dashboard over it."""

import json
import re
import shlex
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from PIL import Image

import ssl_zoo.tracking.wandb as tracking
from ssl_zoo import metrics
from ssl_zoo.cli import main, run
from ssl_zoo.probes.health import FIGURES
from ssl_zoo.runs.result_file import read_result, write_result
from ssl_zoo.runs.results import Budget, LayerScores, TaskScore
from ssl_zoo.tracking.dashboard import GROUPS
from ssl_zoo.tracking.results import picture_files, result_table, summary_of
from ssl_zoo.tracking.wandb import log_results
from tests.made_results import made, score

LAYER_WEIGHTS = "figures/layer_weights"
ROOT = Path(__file__).parents[2]
BLOCK = 32 * 1024


def pieces(content: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format, in which W&B keeps what it logs offline; a header of seven bytes is first.

    A record is cut into chunks that do not cross blocks of 32 KiB: checksum (4 bytes), length (2), kind (1: whole, 2:
    first, 3: middle, 4: last), data.
    """
    assert content[:4] == b":W&B"
    place, record = 7, b""
    while place < len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        assert kind in (1, 2, 3, 4)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


class Logged(NamedTuple):
    """An offline run: its header, config, history rows, summary, definitions of metrics, and its directory."""

    header: Any
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    definitions: dict[str, Any]
    directory: Path


def nested(into: dict[str, Any], items: Any) -> dict[str, Any]:
    """Adds W&B's items to a dictionary: a name and a value, or a path of names and a value."""
    for item in items:
        *path, name = item.nested_key or [item.key]
        place = into
        for each in path:
            place = place.setdefault(each, {})
        place[name] = json.loads(item.value_json)
    return into


def read_back(path: Path, directory: Path) -> Logged | None:
    """Reads a .wandb file with W&B's own message types; None while its end is missing."""
    from wandb.proto.wandb_internal_pb2 import Record

    header, config, history, summary, definitions = None, {}, [], {}, {}
    for piece in pieces(path.read_bytes()):
        record = Record.FromString(piece)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            header = record.run
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            history.append(nested({}, record.history.item))
        elif kind == "summary":
            nested(summary, record.summary.update)
        elif kind == "metric":
            definitions[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "exit":
            return Logged(header, config, history, summary, definitions, directory)
    return None


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Logged:
    """A short run on digits without a key."""
    runs = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("WANDB_SILENT", "true")
        run(
            ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"),
             "--config", str(ROOT / "experiments" / "wandb.yaml"), "--runs_dir", str(runs), "--seed_everything=3",
             "--trainer.max_steps=6", "--data.batch_size=64", "--data.image_size=12", "--data.train_size=192",
             "--data.test_fraction=0.1", "--model.encoder.width=8",
             "--trainer.check_val_every_n_epoch=1", "--trainer.log_every_n_steps=1",
             "--trainer.logger.init_args.tags=[mine]", "--probe.draws=2", "--probe.labels_per_class=[1]",
             "--probe.ceiling=false"]
        )  # fmt: skip
    (path,) = runs.glob("quickstart/*/wandb/offline-run-*/run-*.wandb")
    # W&B's own process closes the file some time after it has reported that the run is over.
    for _ in range(600):
        if (found := read_back(path, path.parents[2])) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def test_a_run_says_what_it_is(logged):
    assert logged.header.run_group == "quickstart" and logged.header.job_type == "fit"
    assert logged.header.display_name == logged.directory.name and logged.header.project == "ssl_zoo"
    assert list(logged.header.tags) == ["mine", "SimCLR", "image", "ResNet", "Digits"]


def test_the_config_is_complete(logged):
    config = logged.config
    assert config["model"]["init_args"]["temperature"] == 0.5 and config["seed_everything"] == 3
    assert config["trainer"]["max_steps"] == 6 and config["data"]["init_args"]["batch_size"] == 64
    assert [config[name] for name in ("method", "modality", "encoder", "data_set")] == list(logged.header.tags)[1:]
    assert config["split"] == json.loads((logged.directory / "results.json").read_text())["data"]["split"]
    assert set(GROUPS) < set(config)


def test_every_number_of_the_csv_file_is_logged_under_its_name(logged):
    header, *rows = [line.split(",") for line in (logged.directory / "metrics.csv").read_text().splitlines()]
    for name in set(header) - {"step", "epoch"}:
        column = header.index(name)
        expected = [float(row[column]) for row in rows if row[column]]
        assert [row[name] for row in logged.history if name in row] == pytest.approx(expected, rel=1e-4), name
    steps = [row[metrics.STEP] for row in logged.history if f"{metrics.TRAIN}/loss" in row]
    assert steps == sorted(steps) and len(steps) == 6


def test_how_curves_become_one_number_is_defined(logged):
    for name, summary in metrics.SUMMARIES.items():
        found = logged.definitions[name].summary
        assert {each for each in ("min", "max", "mean", "last") if getattr(found, each)} == set(summary.split(","))
        assert logged.definitions[name].step_metric == metrics.STEP


def test_results_costs_table_and_pictures_are_logged(logged):
    result = read_result(logged.directory)
    assert {name: logged.summary[name] for name in summary_of(result)} == pytest.approx(summary_of(result))
    assert logged.summary[metrics.RESULT_LINEAR] == result.rows["SimCLR"]["linear"]["all"].mean
    assert logged.summary["cost/samples"] == 6 * 64
    files = next((logged.directory / "wandb").glob("offline-run-*")) / "files"
    for name in set(picture_files()) - {LAYER_WEIGHTS}:  # of tasks that images do not have
        (picture,) = [row[name] for row in logged.history if name in row]
        assert picture["_type"] == "image-file"
        drawn = logged.directory / "figures" / f"{name.split('/')[1]}.png"
        assert (picture["width"], picture["height"]) == struct.unpack(">II", drawn.read_bytes()[16:24])
        assert (files / picture["path"]).is_file()
    (table,) = [row[metrics.RESULT_TABLE] for row in logged.history if metrics.RESULT_TABLE in row]
    written = json.loads((files / table["path"]).read_text())
    columns, rows = result_table(result)
    assert written["columns"] == columns and written["data"] == rows
    assert {row[0] for row in rows} == {"SimCLR", "untrained encoder", "raw inputs"}


def test_the_table_has_balanced_accuracies_where_there_are_some():
    found, uneven = score(0.9, 0.01), score(0.9, 0.01, balanced=0.6)
    columns, rows = result_table(made(rows={"SimCLR": {"knn": {"all": found}}}, tasks={}))
    assert columns[-1] == "standard deviation" and rows == [["SimCLR", "knn", "all", 0.9, 0.01]]
    rows = {"SimCLR": {"knn": {"all": uneven}}, "supervised": {"linear": {"all": found}}}
    columns, rows = result_table(made(rows=rows, tasks={}))
    assert [len(row) for row in rows] == [len(columns)] * 2
    assert [row[columns.index("balanced accuracy")] for row in rows] == [0.6, None]


class Logging:
    """Stands for a W&B run."""

    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}

    def log(self, entries: dict[str, Any]) -> None:
        self.logged |= entries


def test_data_with_tasks_but_no_classes_is_logged_with_its_tasks_and_their_picture(tmp_path, monkeypatch):
    found = {"SimCLR": TaskScore(0.5, None, [1.0]), "untrained encoder": TaskScore(0.25, None, [1.0])}
    budget = Budget(samples=7, seconds=3.0)
    write_result(tmp_path, made(rows={}, tasks={"phones": found}, layers={}, budget=budget))
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "figures" / "layer_weights.png")
    kept = Logging()
    monkeypatch.setattr(tracking, "wandb_runs", lambda trainer: [kept])
    log_results(None, tmp_path)
    assert kept.summary == {"result/phones": 0.5, "cost/seconds": 3.0, "cost/samples": 7}
    assert kept.logged[metrics.RESULT_TABLE].data == [
        ["SimCLR", "phones", "all", 0.5, None], ["untrained encoder", "phones", "all", 0.25, None]
    ]  # fmt: skip
    assert set(kept.logged) == {metrics.RESULT_TABLE, LAYER_WEIGHTS}


def test_the_last_layer_and_the_chosen_one_are_numbers_of_a_run():
    layers = {"SimCLR": LayerScores([0.1, 0.9, 0.2], [0.2, 0.8, 0.4], 1)}
    found = summary_of(made(rows={"SimCLR": {"linear": {"all": score(0.5)}}}, tasks={}, layers=layers))
    found = {name: value for name, value in found.items() if name.startswith("result/")}
    assert found == {"result/linear/all": 0.5, "result/layer/last": 0.4, "result/layer/chosen": 0.8}


def test_another_command_of_the_same_process_does_not_write_into_the_run(logged):
    import wandb

    assert wandb.run is None


KNOWN = {
    *metrics.SUMMARIES.keys() - {"health/*", "codes/*"}, *(f"health/{name}" for name in (*FIGURES, "active_units")),
    *metrics.COSTS, *picture_files(), metrics.STEP, metrics.LEARNING_RATE,
    metrics.PROJECTION_STD, metrics.RESULT_LINEAR, metrics.RESULT_KNN,
}  # fmt: skip


# wandb-workspaces is written in the manner of an earlier pydantic, and warns of itself.
@pytest.mark.filterwarnings("ignore")  # wandb-workspaces warns of itself
def test_the_dashboard_shows_only_what_is_logged_and_all_of_its_kinds(logged):
    from ssl_zoo.tracking.dashboard import workspace

    made = workspace("someone", "ssl_zoo", "methods")
    assert [section.name for section in made.sections] == ["Loss", "Probes", "Health", "Efficiency", "Pictures"]
    assert [group.name for group in made.runset_settings.groupby] == list(GROUPS)
    shown = set()
    for panel in (panel for section in made.sections for panel in section.panels):
        fields = vars(panel)
        for field in ("x", "y", "metrics", "media_keys"):
            value = fields.get(field)
            for each in value if isinstance(value, (list, tuple)) else [value]:
                if each is not None:
                    shown.add(each if isinstance(each, str) else each.name)
    assert shown == KNOWN
    columns = {name for row in logged.history for name in row} | set(logged.summary)
    # Of a method that could collapse, of a VAE, and of a graph whose cost nobody has counted.
    assert shown - columns <= {metrics.PROJECTION_STD, metrics.HEALTH_ACTIVE_UNITS, "cost/flops", LAYER_WEIGHTS}


@pytest.mark.filterwarnings("ignore")  # wandb-workspaces warns of itself, as above
def test_without_a_key_the_dashboard_says_so(capsys, monkeypatch):
    monkeypatch.setattr("ssl_zoo.tracking.wandb.has_wandb_key", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        main(["dashboard", "--entity", "someone"])
    assert stopped.value.code == 2 and "run `wandb login` first" in capsys.readouterr().err


def test_the_command_that_uploads_a_run_works_with_spaces_in_its_path(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "has_wandb_key", lambda: False)
    settings = SimpleNamespace(name=None, id=None, group=None, job_type=None, mode=None)
    tracking.prepare_wandb(settings, tmp_path / "my runs" / "a", "digits", "fit")
    (command,) = re.findall("`wandb sync (.+)`", capsys.readouterr().out)
    assert shlex.split(command) == [f"{tmp_path}/my runs/a/wandb/offline-run-*"]


def test_a_start_that_is_refused_leaves_no_folder_with_wandb_either(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    overlays = [f"--config={ROOT / 'experiments' / name}.yaml" for name in ("quickstart", "wandb")]
    with pytest.raises(SystemExit) as refused:
        main(["fit", *overlays, f"--runs_dir={tmp_path / 'runs'}", "--data.batch_size=9000"])
    said = capsys.readouterr().err
    assert refused.value.code == 2 and "batch_size 9000 is larger than the training set" in said
    assert not list(tmp_path.iterdir()) and "You can sync this run" not in said
