"""The experiments come with the package, and are found by name where no file is called so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_zoo.cli import run
from ssl_zoo.errors import InputError
from ssl_zoo.packaged import folder, listed, locate
from ssl_zoo.sweep.plan import has_model

ROOT = Path(__file__).parents[1]
SMALL = ["--trainer.accelerator=cpu", "--trainer.max_steps=1", "--data.batch_size=4", "--probe_after_fit=false"]


def test_every_experiment_is_listed_in_80_columns_with_its_cost_and_what_it_reached(capsys):
    run(["experiments"])
    lines = capsys.readouterr().out.splitlines()
    found = {re.split(r"\s{2,}", line)[0]: re.split(r"\s{2,}", line)[1:] for line in lines if "  " in line}
    paths = [path for path in (ROOT / "experiments").rglob("*.yaml") if has_model(path)]
    names = {path.relative_to(ROOT / "experiments").with_suffix("").as_posix() for path in paths}
    assert set(found) == names
    assert all(len(columns) == 2 and all(columns) for columns in found.values())
    assert all(len(line) <= 80 for line in lines if "  " in line)


@pytest.mark.parametrize("row", listed(), ids=lambda row: row.name)
def test_what_the_list_says_stands_in_the_header_too(row):
    header = (ROOT / "experiments" / f"{row.name}.yaml").read_text().split("\nexperiment:")[0]
    above = header.split("# In short:")[0].replace("\n# ", " ")
    for figure in re.findall(r"\d+\.\d+", row.reached):
        assert figure in above, figure


def test_an_experiment_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(["fit", "--config", "quickstart", "--config=smoke", *SMALL, "--runs_dir=runs"])
    (made,) = tmp_path.glob("runs/quickstart/*/config.yaml")
    assert "SimCLR" in made.read_text()


@pytest.mark.parametrize(
    ("given", "file"),
    [("quickstart", "quickstart"), ("quickstart.yaml", "quickstart"), ("image/simclr", "image/simclr"),
     ("experiments/image/simclr.yaml", "image/simclr"), ("moco", "image/moco"), ("gpu", "gpu")],
)  # fmt: skip
def test_names_of_experiments(tmp_path, monkeypatch, given, file):
    monkeypatch.chdir(tmp_path)
    assert Path(locate(given)) == folder() / f"{file}.yaml"


def test_a_file_of_ones_own_comes_first_and_an_unknown_name_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("model: X\n")
    assert locate("quickstart") == "quickstart"
    assert locate("nowhere.yaml") == "nowhere.yaml" and locate("../pyproject") == "../pyproject"


def test_a_name_that_two_experiments_have_is_refused_with_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="several experiments called simclr: say audio/simclr or image/simclr"):
        run(["fit", "--config", "simclr"])


def test_a_sweep_takes_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(["sweep", "quickstart", "image/vae", "--seeds=1", "--list", "--out=out"])
    listed_commands = capsys.readouterr().out.splitlines()
    assert len(listed_commands) == 2
    assert str(folder() / "quickstart.yaml") in listed_commands[0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as a wheel brings it, without its dependencies."""
    top = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(top)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = top.glob("*.whl")
    pip = ["uv", "pip"] if shutil.which("uv") else [sys.executable, "-m", "pip"]
    where = ["--no-deps", "--offline" if pip[0] == "uv" else "--no-index", "--target", str(top / "site")]
    subprocess.run([*pip, "install", *where, str(wheel)], cwd=top, check=True, capture_output=True)
    return top / "site"


@pytest.mark.slow  # builds and installs a wheel
def test_an_installed_package_brings_its_experiments(installed, tmp_path):
    here = installed / "ssl_zoo" / "experiments"
    brought = {path.relative_to(here) for path in here.rglob("*.yaml")}
    assert brought == {path.relative_to(ROOT / "experiments") for path in (ROOT / "experiments").rglob("*.yaml")}
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for command, expected in (
        (["experiments"], "quickstart"),
        (["sweep", "quickstart", "--seeds=1", "--list", "--out=out"], str(here)),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ssl_zoo", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0 and expected in done.stdout, done.stderr
