import importlib
from pathlib import Path

import pytest
import torch
import yaml

from ssl_zoo.cli import run
from ssl_zoo.runs.moved import MOVED, MOVED_CLASSES, present_settings, where_classes_are
from ssl_zoo.runs.run import load_run


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_what_has_moved_is_where_it_is_looked_for_and_no_longer_where_it_was(old: str, new: str) -> None:
    module = importlib.import_module(f"ssl_zoo.data.{new}")
    names = [name for name, kind in vars(module).items() if getattr(kind, "__module__", "") == module.__name__]
    assert names
    for name in names:
        assert where_classes_are({"_class_path": f"ssl_zoo.data.{old}.{name}"}) == {
            "_class_path": f"{module.__name__}.{name}"
        }


def test_classes_are_found_at_any_depth_and_others_stay() -> None:
    old = {
        "_class_path": "ssl_zoo.data.image.ImageData",
        "source": {"class_path": "ssl_zoo.data.sources.digits.Digits", "init_args": {"root": "ssl_zoo.data.image.x"}},
        "several": [{"class_path": "ssl_zoo.data.sources.wordnet.WordNet"}, {"class_path": "mine.data.image.Images"}],
        "model": {"class_path": "ssl_zoo.methods.simclr.SimCLR"},
    }
    new = where_classes_are(old)
    assert new["_class_path"] == "ssl_zoo.data.image.module.ImageData"
    assert new["source"] == {
        "class_path": "ssl_zoo.data.image.sources.digits.Digits",
        "init_args": {"root": "ssl_zoo.data.image.x"},
    }
    assert [each["class_path"] for each in new["several"]] == [
        "ssl_zoo.data.text.sources.wordnet.WordNet",
        "mine.data.image.Images",
    ]
    assert new["model"] == old["model"] and where_classes_are(new) == new


@pytest.mark.parametrize(("old", "new"), MOVED_CLASSES.items())
def test_a_class_that_left_its_file_is_found_in_its_new_one(old: str, new: str) -> None:
    module, _, name = new.rpartition(".")
    assert getattr(importlib.import_module(module), name).__module__ == module
    assert where_classes_are({"encoder": {"class_path": old}}) == {"encoder": {"class_path": new}}


def test_settings_of_an_optimizer_that_stood_beside_its_name_are_found_but_a_users_own_stay() -> None:
    old = {"class_path": "ssl_zoo.methods.bert.BERT", "init_args": {"mask_fraction": 0.2, "learning_rate": 0.1}}
    assert present_settings({"model": old})["model"]["init_args"] == {
        "mask_ratio": 0.2,
        "optimizer": {"learning_rate": 0.1},
    }
    own = {"class_path": "mine.Method", "init_args": {"learning_rate": 0.1, "warmup": 3}}
    assert present_settings({"model": own}) == {"model": own}
    now = {"class_path": "mine.Method", "init_args": {"optimizer": {"name": "sgd"}, "warmup": 3}}
    assert present_settings({"model": now, "data": None}) == {"model": now, "data": None}


def test_a_run_of_before_the_optimizer_was_one_argument_is_resumed_and_read(tmp_path, capsys) -> None:
    options = ["--data.batch_size=64", "--data.image_size=8", "--model.encoder.width=4", "--probe_after_fit=false",
               "--model.projection_hidden=16", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
               "--trainer.logger=false", "--trainer.limit_val_batches=0"]  # fmt: skip
    run(["fit", "--config=experiments/quickstart.yaml", f"--runs_dir={tmp_path}", "--trainer.max_steps=2", *options])
    (directory,) = tmp_path.glob("quickstart/*")
    config = yaml.safe_load((directory / "config.yaml").read_text())
    checkpoint = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    for arguments in (config["model"]["init_args"], checkpoint["hyper_parameters"]):
        optimizer = arguments.pop("optimizer")
        arguments |= {"optimizer": optimizer["name"]}
        arguments |= {name: optimizer[name] for name in ("learning_rate", "weight_decay", "warmup")}
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(checkpoint, directory / "checkpoints" / "last.ckpt")
    assert load_run(directory).method.optimizer.learning_rate == optimizer["learning_rate"]
    run(["fit", f"--resume={directory}", "--trainer.max_steps=4"])
    assert "those of an earlier version" in capsys.readouterr().out
    assert yaml.safe_load(Path(directory / "config.yaml").read_text())["model"]["init_args"]["optimizer"] == optimizer
    assert torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
