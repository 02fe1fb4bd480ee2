"""The commands that are handed over to batch systems and to W&B's agent are commands of this program."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from ssl_zoo.cli import run
from ssl_zoo.errors import InputError
from ssl_zoo.training_cli import fit_settings

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "sweeps.md").read_text()


def test_every_listed_command_parses_to_the_run_it_stands_for(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    paths = ["experiments/image/simclr.yaml", "experiments/image/vae.yaml"]
    out = tmp_path / "with a space"
    overrides = ["--", "--model.optimizer.learning_rate=0.5", "--config", "experiments/gpu.yaml"]
    run(["sweep", *paths, "--seeds=2", "--samples=12800", f"--out={out}", "--list", *overrides])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for line, seed in zip(lines, (0, 1, 0, 1), strict=True):
        program, command, *options = shlex.split(line)
        assert (program, command) == ("ssl-zoo", "fit")
        settings = fit_settings(options)
        assert settings["trainer"]["max_steps"] * settings["data"]["init_args"]["batch_size"] == 12800
        assert settings["seed_everything"] == seed
        assert settings["model"]["init_args"]["optimizer"]["learning_rate"] == 0.5
        assert settings["trainer"]["accelerator"] == "gpu"  # of the overlay
        assert settings["trainer"]["val_check_interval"] == settings["trainer"]["max_steps"] // 5
        assert str(settings["runs_dir"]).startswith(str(out))


def test_a_mistake_in_an_experiment_is_reported_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="did you mean 'temperature'"):
        run(["sweep", str(ROOT / "experiments/image/simclr.yaml"), f"--out={tmp_path}", "--", "--model.temprature=1"])
    assert not list(tmp_path.iterdir())


def test_the_documents_w_and_b_sweep_starts_commands_of_this_program(monkeypatch):
    monkeypatch.chdir(ROOT)
    (search,) = re.findall(r"```yaml\n(# search.yaml.+?)```", DOCUMENT, re.DOTALL)
    settings = yaml.safe_load(search)
    program, command, *options, last = settings["command"]
    assert (program, command, last) == ("ssl-zoo", "fit", "${args}") and program == settings["program"]
    values = {name: each["values"][-1] if "values" in each else each["max"] for name, each in
              settings["parameters"].items()}  # fmt: skip
    found = fit_settings([*options, *(f"--{name}={value}" for name, value in values.items())])
    assert found["model"]["init_args"]["temperature"] == values["model.temperature"]
    assert found["seed_everything"] == values["seed_everything"]


def test_the_documents_commands_name_files_that_exist():
    named = re.findall(r"experiments/[\w/]+(?:\.yaml)?", DOCUMENT)
    assert named and all((ROOT / each).exists() for each in named)
