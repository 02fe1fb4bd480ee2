"""`ssl-zoo new` writes what runs and whose test passes, and the guide quotes the same files."""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ssl_zoo
from ssl_zoo.cli import main, run
from ssl_zoo.new import KINDS, TEMPLATES, rendered
from ssl_zoo.probes import weighted_layers

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SMALL = [
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_steps=2", "--data.batch_size=16",
    "--trainer.log_every_n_steps=1", "--trainer.limit_val_batches=1", "--trainer.num_sanity_val_steps=0",
    "--probe.draws=1", "--probe.labels_per_class=[1]", "--probe.layers=false", "--data.train_size=64",
    "--trainer.precision=32-true",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "fresh" in name:
            del sys.modules[name]  # the next test's lie elsewhere


def written(kind):
    main(["new", kind, f"fresh_{kind}"])
    return f"fresh_{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_runs(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(weighted_layers, "STEPS", 20)  # that a task is probed, not how well
    name = written(kind)
    out = capsys.readouterr().out
    assert f"  ssl-zoo fit --config {name}.yaml\n  python -m pytest test_{name}.py" in out
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.py", f"{name}.yaml", f"test_{name}.py"}
    options = ["--probe_after_fit=false"] if kind != "task" else []  # its answers are in the results
    options += ["--trainer.max_steps=10"] if kind == "callback" else []  # it has something to say at the tenth
    run(["fit", "--config", f"{name}.yaml", *SMALL, *options])
    (directory,) = tmp_path.glob(f"runs/{name}/*")
    settings = (directory / "config.yaml").read_text()
    assert f"class_path: {name}.Fresh{kind.capitalize()}\n" in settings
    if kind == "callback":
        assert "train/weight_norm" in (directory / "metrics.csv").read_text().splitlines()[0].split(",")
    if kind == "task":
        assert "parity" in json.loads((directory / "results.json").read_text())["tasks"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_test_passes(kind, tmp_path):
    tests = importlib.import_module(f"test_{written(kind)}")
    found = [function for name, function in inspect.getmembers(tests, inspect.isfunction) if name.startswith("test_")]
    assert found
    for function in found:
        function(**({"tmp_path": tmp_path} if inspect.signature(function).parameters else {}))


@pytest.mark.parametrize("kind", KINDS)
def test_its_test_can_fail(kind, tmp_path, monkeypatch):
    """A mistake in each skeleton is found by its own test."""
    mistakes = {
        "method": (", turns)", ", turns * 0)"),
        "encoder": ("else self.positions[places]", "else 0"),
        "source": ("% 2", "% 1"),
        "views": ("fold_in(keys, view) for view", "keys for view"),
        "callback": (".detach().norm()", ".detach().sum()"),
        "task": ("% 2", "% 3 // 2"),
    }
    name = written(kind)
    right, wrong = mistakes[kind]
    path = tmp_path / f"{name}.py"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    with pytest.raises(AssertionError):
        tests = importlib.import_module(f"test_{name}")
        for function_name, function in inspect.getmembers(tests, inspect.isfunction):
            if function_name.startswith("test_"):
                function(**({"tmp_path": tmp_path} if inspect.signature(function).parameters else {}))


@pytest.mark.slow
def test_all_of_them_as_a_stranger_runs_them(tmp_path):
    commands = [[sys.executable, "-m", "ssl_zoo", "new", kind, f"fresh_{kind}"] for kind in KINDS]
    commands += [[sys.executable, "-m", "ssl_zoo", "fit", "--config", f"fresh_{kind}.yaml"] for kind in KINDS]
    for command in [*commands, [sys.executable, "-m", "pytest", "-q"]]:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert len(list(tmp_path.glob("runs/*/*/results.json"))) == len(KINDS)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["metod", "x"], "There is no skeleton of 'metod', did you mean 'method'?"),
        (["method", "2x"], "'2x' cannot be the name of a module"),
        (["method", "class"], "'class' cannot be the name of a module"),
        (["method", "random"], "'random' is the name of an installed module"),
        (["method", "torch"], "'torch' is the name of an installed module"),
        (["method", "none"], "'none' cannot be the name of a module"),  # whose class would be None
        (["encoder", "embedded"], "'Embedded' is a name that the skeleton itself needs for something else: c"),
        (["source", "image-source"], "'ImageSource' is a name that the skeleton itself needs for something else"),
    ],
)
def test_what_cannot_be_written_is_refused(args, sentence, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["new", *args])
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", ["fresh_method.py", "fresh_method.yaml", "test_fresh_method.py"])
def test_nothing_is_overwritten(taken, tmp_path, capsys):
    Path(taken).write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["new", "method", "FreshMethod"])
    assert stopped.value.code == 2 and f"{taken} exists in this folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [taken] and Path(taken).read_text() == "mine"


def test_what_exists_is_named_in_the_plural_too(capsys):
    main(["new", "method", "FreshMethod"])
    with pytest.raises(SystemExit):
        main(["new", "method", "FreshMethod"])
    assert (
        "test_fresh_method.py exist in this folder: choose another name, or move them away." in capsys.readouterr().err
    )


def test_a_name_is_written_in_any_way(tmp_path):
    for name in ("FreshTurns", "fresh-more.py"):
        main(["new", "method", name])
    assert "class FreshTurns(Method)" in Path("fresh_turns.py").read_text()
    assert "class FreshMore(Method)" in Path("fresh_more.py").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_quotes_the_skeleton_and_its_experiment(kind):
    files = rendered(kind, f"my_{kind}")
    assert f"```python\n{files[f'my_{kind}.py']}```" in GUIDE
    assert f"ssl-zoo new {kind} my_{kind}\nssl-zoo fit --config my_{kind}.yaml\n" in GUIDE


def test_every_template_belongs_to_a_kind():
    names = {path.name for path in TEMPLATES.iterdir() if path.is_file()}
    assert names == {file for kind in KINDS for file in rendered(kind, f"my_{kind}")}
    assert TEMPLATES.is_relative_to(Path(ssl_zoo.__file__).parent)
