import json

import numpy as np
import pytest
import yaml

from ssl_zoo.compare.runs import find_runs, read_run
from ssl_zoo.errors import InputError


def test_a_run_is_found_once_wherever_one_looks_from(write_run, tmp_path):
    first, second = write_run("a/1"), write_run("b/1")
    nested = second / "wandb" / "offline-run-1" / "files"
    nested.mkdir(parents=True)
    (nested / "config.yaml").write_text("learning_rate: 1")  # W&B's own
    assert find_runs([tmp_path / "runs"]) == [first, second]
    assert find_runs([second, tmp_path / "runs" / "a", first, tmp_path]) == [first, second]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run in"):
        find_runs([tmp_path])
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        find_runs([tmp_path / "nowhere"])


def test_a_whole_run_is_read_without_remarks(write_run):
    run, remarks = read_run(write_run("simclr/7", seed=3, finetuning={"10": 0.6, "all": 0.8}))
    assert remarks == [] and (run.name, run.seed) == ("simclr/7", 3)
    assert run.rows["SimCLR"]["linear"] == {"1": 0.5, "5": 0.7, "all": 0.9}
    assert run.result.budget.flops == 3e12 and run.result.chance_loss == 4.8
    assert run.curves["train/loss"][:2] == [(0, 5.0), (10, 4.8)] and run.curves["val/loss"] == [(99, 3.1)]
    assert run.features.features.shape == (50, 4) and run.features.classes == ["cat", "dog", "cow"]
    assert run.finetuning["classes"].rows["SimCLR"]["accuracy"] == {"10": 0.6, "all": 0.8}
    assert run.settings["model.temperature"] == 0.5 and "trainer.devices" not in run.settings


def test_results_of_before_costs_were_kept_still_count(write_run):
    directory = write_run()
    record = json.loads((directory / "results.json").read_text())
    for name in ("modality", "seed", "health", "chance_loss"):
        del record[name]
    for name in ("flops", "peak_memory"):
        del record["budget"][name]
    (directory / "results.json").write_text(json.dumps(record))
    run, remarks = read_run(directory)
    assert remarks == [] and run.result.budget.flops is None and run.result.budget.peak_memory is None
    assert run.seed == 0 and run.result.health == {"health/rank": 30.5}  # from the settings and the log


def change(directory, edit) -> None:
    record = json.loads((directory / "results.json").read_text())
    edit(record)
    (directory / "results.json").write_text(json.dumps(record))


def cut(file) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda run: (run / "results.json").unlink(), "results.json is missing"),
        (lambda run: cut(run / "results.json"), "results.json cannot be used, it is no JSON"),
        (lambda run: (run / "results.json").write_bytes(b"\xff\xfe\x00"), "it is no JSON"),
        (lambda run: (run / "results.json").write_text("[]"), "it holds no entries by name"),
        (lambda run: change(run, lambda record: record.pop("rows")), "it lacks 'rows'"),
        (lambda run: change(run, lambda record: record["rows"].clear()), "it has no rows"),
        (lambda run: change(run, lambda record: record["rows"]["SimCLR"]["linear"].pop("all")), "it lacks 'all'"),
        (lambda run: change(run, lambda record: record.update(data="Digits")), "not of the right kind"),
        (lambda run: change(run, lambda record: record["budget"].update(seconds="fast")), "'fast' stands where"),
        (
            lambda run: change(run, lambda record: record["rows"]["SimCLR"]["linear"]["all"].update(mean=93)),
            "93 is no accuracy",
        ),
        (lambda run: change(run, lambda record: record.update(protocol="3")), "'3' stands where the protocol"),
        (lambda run: change(run, lambda record: record.update(protocol=2.9)), "2.9 stands where the protocol"),
        (
            lambda run: change(run, lambda record: record.update(protocol=99)),
            "protocol 99, of a newer ssl_zoo",
        ),
        (
            lambda run: change(run, lambda record: record["rows"].pop("SimCLR")),
            "its first row is of 'untrained encoder', not of the run's own encoder",
        ),
        (lambda run: (run / "config.yaml").unlink(), "config.yaml is missing"),
        (lambda run: (run / "config.yaml").write_text("model: [}"), "config.yaml cannot be used, it is no YAML"),
        (lambda run: (run / "config.yaml").write_text("model: {}"), "it lacks one of model, data, trainer"),
    ],
)
def test_a_run_that_cannot_be_ranked_is_named_with_the_reason(write_run, harm, sentence):
    directory = write_run("vae/2")
    harm(directory)
    run, (remark,) = read_run(directory)
    assert run is None and remark.run == "vae/2"
    assert sentence in remark.sentence and "the run is not ranked" in remark.sentence


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda run: (run / "metrics.csv").unlink(), "metrics.csv is missing: its loss curve is left out"),
        (lambda run: cut(run / "metrics.csv"), "metrics.csv cannot be used, line"),
        (lambda run: (run / "metrics.csv").write_text("epoch,train/loss\n1,2\n"), "it has no column of steps"),
        (lambda run: (run / "metrics.csv").write_text("step,train/loss\n1,two\n"), "metrics.csv cannot be used"),
        (lambda run: (run / "features.npz").unlink(), "features.npz is missing: it has no feature map and no CKA"),
        (lambda run: cut(run / "features.npz"), "features.npz cannot be used, it is damaged"),
        (lambda run: np.savez(run / "features.npz", features=np.ones(3)), "features.npz cannot be used"),
        (lambda run: cut(run / "finetune-classes.json"), "finetune-classes.json cannot be used, it is no JSON"),
    ],
)
def test_a_run_that_lacks_a_picture_is_ranked_and_the_lack_said(write_run, harm, sentence):
    directory = write_run("vae/2", finetuning={"all": 0.5})
    harm(directory)
    run, (remark,) = read_run(directory)
    assert run is not None and remark.run == "vae/2" and sentence in remark.sentence


def test_what_testing_a_run_leaves_behind_is_no_run(write_run):
    directory = write_run()
    (directory / "results.json").unlink()
    settings = yaml.safe_load((directory / "config.yaml").read_text())
    (directory / "config.yaml").write_text(yaml.safe_dump({**settings, "verbose": True}))
    assert read_run(directory) == (None, [])


def test_a_published_encoder_needs_no_settings_and_no_log(write_run):
    directory = write_run("public/resnet", method="public", budget={"steps": 0, "samples": 0, "seconds": 0.0})
    (directory / "config.yaml").unlink()
    (directory / "metrics.csv").unlink()
    run, remarks = read_run(directory)
    assert remarks == [] and run.settings is None and run.curves == {}
