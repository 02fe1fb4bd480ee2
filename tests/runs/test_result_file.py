"""results.json comes back as it was written, and so do files of earlier versions."""

import json
from pathlib import Path

import pytest

from ssl_zoo.runs.in_context_file import InContext, Prompted, read_in_context, write_in_context
from ssl_zoo.runs.result_file import read_result, write_result
from ssl_zoo.runs.results import Bleu, Score
from tests.made_results import made


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for result in (
        made(),
        made(tasks={}, task_sizes={}, layers={}, main_task="classes"),
        made(rows={}, seed=None, word_similarity={}, retrieval={}),
        made(translation={"all sources": {"SimCLR": Bleu(12.5, 500, 96)}}),
    ):
        write_result(tmp_path, result)
        assert read_result(tmp_path) == result
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_file_has_the_entries_that_it_always_had(tmp_path: Path) -> None:
    write_result(tmp_path, made())
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["rows"]["SimCLR"]["linear"]["all"] == {
        "mean": 0.5, "std": 0.0, "draws": [0.5], "chosen": [{"penalty": 0.1}],
        "balanced": {"mean": 0.4, "std": 0.0, "draws": [0.4]},
    }  # fmt: skip
    assert record["tasks"]["phones"]["majority class"] == {"accuracy": 0.1, "balanced": 0.5}
    assert record["budget"] == {
        "steps": 5, "samples": 40, "seconds": 1.5, "flops": 3e9, "peak_memory": None, "hardware": "a machine",
    }  # fmt: skip


def test_a_file_of_the_first_protocol_is_read(tmp_path: Path) -> None:
    old = {
        "protocol": 1, "method": "SimCLR", "encoder": "ResNet", "parameters": 10,
        "data": {"source": "Digits", "split": "34", "train": 3, "validation": 2, "test": 1},
        "budget": {"steps": 5, "samples": 40, "seconds": 1}, "rows": {"SimCLR": {"linear": {"all": {"mean": 0.5}}}},
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(old))
    result = read_result(tmp_path)
    assert result.rows["SimCLR"]["linear"]["all"] == Score(0.5, 0.0, [0.5])
    assert (result.modality, result.seed, result.budget.flops, result.main_task) == ("", None, None, "classes")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record.pop("budget"), "it lacks 'budget'"),
        (lambda record: record.update(rows=[]), "not of the right kind"),
        (lambda record: record.update(protocol=4), "protocol 4, of a newer ssl_zoo"),
        (lambda record: record.update(method="MoCo"), "its first row is of 'SimCLR'"),
        (lambda record: record["rows"]["SimCLR"]["linear"]["all"].update(mean=1.5), "1.5 is no accuracy"),
        (lambda record: record.update(tasks={}, rows={"SimCLR": {"knn": {}}}), "it lacks 'linear'"),
        (lambda record: record["layers"]["SimCLR"].update(chosen=2), "2 is none of its 2 layers"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, change, reason: str) -> None:
    write_result(tmp_path, made())
    record = json.loads((tmp_path / "results.json").read_text())
    change(record)
    (tmp_path / "results.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=reason):
        read_result(tmp_path)


def test_what_a_language_model_predicts_in_context_is_written_and_read(tmp_path: Path) -> None:
    rows = {"GPT": {"0": Prompted(Score(0.5, 0.0, [0.5], Score(0.4, 0.0, [0.4])), 0.25)}}
    found = InContext("a", "Texts", "{text} = {label}\n", ["cat", "dog"], 7, 1, 0.6, rows, ["It is small."])
    write_in_context(tmp_path, found)
    assert read_in_context(tmp_path) == found
    record = json.loads((tmp_path / "in_context.json").read_text())
    assert record["rows"]["GPT"]["0"] == {
        "mean": 0.5, "std": 0.0, "draws": [0.5], "balanced": {"mean": 0.4, "std": 0.0, "draws": [0.4]}, "cut": 0.25
    }  # fmt: skip
    del record["rows"]["GPT"]["0"]["cut"]
    (tmp_path / "in_context.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="it lacks 'cut'"):
        read_in_context(tmp_path)
