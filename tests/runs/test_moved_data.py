"""A run is loaded where its data was moved to, and without it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ssl_zoo.cli import run
from ssl_zoo.errors import InputError
from ssl_zoo.export import program
from ssl_zoo.runs.run import load_run, read_run
from tests.small_runs import elsewhere, small_run


def first_answer(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives at every call what the function gave at its first one."""
    found: list[Any] = []

    def answer(*args: Any) -> Any:
        if not found:
            found.append(function(*args))
        return found[0]

    return answer


PROBE = ["--draws=1", "--labels_per_class=[1]", "--ceiling=false", "--layers=false"]


def test_a_run_is_exported_without_its_data_as_it_is_with_it(each_small_run, tmp_path, monkeypatch, request):
    if each_small_run.modality == "audio":  # whose encoder is traced nowhere else: once, as it is the same
        monkeypatch.setattr(program, "_for_padded", first_answer(program._for_padded))
    else:
        request.getfixturevalue("untraced")
    run(["export", "--run", str(each_small_run.directory), "--out", str(tmp_path / "with")])
    with elsewhere(each_small_run), pytest.warns(UserWarning, match="exported without the data it was trained on"):
        run(["export", "--run", str(each_small_run.directory), "--out", str(tmp_path / "without")])
    files = {path.name for path in (tmp_path / "with").iterdir()}
    assert files == {path.name for path in (tmp_path / "without").iterdir()} and "README.md" in files
    for name in files - {"encoder.pt2", "model.safetensors"}:
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes(), name
    if "model.safetensors" in files:  # whose header has its entries in any order
        first, second = (load_file(tmp_path / out / "model.safetensors") for out in ("with", "without"))
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_is_evaluated_where_its_data_was_moved_to(each_small_run):
    with elsewhere(each_small_run) as moved:
        with pytest.raises(InputError, match=f"There is no .*{each_small_run.root}.* or give --root where a run's"):
            run(["probe", "--run", str(each_small_run.directory), *PROBE])
        run(["probe", "--run", str(each_small_run.directory), "--root", str(moved), *PROBE])
    assert (each_small_run.directory / "results.json").is_file()


def test_other_data_in_its_place_is_another_split(each_small_run, tmp_path):
    with elsewhere(each_small_run) as moved:
        if moved.is_dir():
            shutil.copytree(moved, tmp_path / moved.name)
            for path in list((tmp_path / moved.name).rglob("*.*"))[:3]:
                path.unlink()
        else:
            lines = moved.read_text().splitlines()
            (tmp_path / moved.name).write_text("\n".join(lines[:-9]))
        with pytest.raises(InputError, match=r"was trained on|made with another tokenizer"):
            run(["probe", "--run", str(each_small_run.directory), f"--root={tmp_path / moved.name}", *PROBE])
        # Each example's part there is not the one that it belonged to while the run trained.
        with pytest.warns(UserWarning, match="was trained on"):
            given = [f"--root={tmp_path / moved.name}", f"--out={tmp_path / 'other.npz'}"]
            run(["predict", "--run", str(each_small_run.directory), *given])
        with np.load(tmp_path / "other.npz") as written:
            assert len(written["features"]) and "part" not in written


def test_a_run_goes_on_with_its_moved_data(tmp_path):
    small = small_run("image", tmp_path)
    with elsewhere(small) as moved:
        run(["fit", "--resume", str(small.directory), "--root", str(moved), "--trainer.max_steps=3"])
        checkpoint = torch.load(small.directory / "checkpoints" / "last.ckpt", weights_only=True)
        assert checkpoint["global_step"] == 3
        # From now on it knows where its data lies, and is evaluated when it is resumed only for that.
        assert load_run(small.directory).data.source.root == str(moved)
        moved.rename(small.root)
        run(["fit", "--resume", str(small.directory), f"--root={small.root}", "--probe_after_fit=true",
             *(f"--probe.{each[2:]}" for each in PROBE)])  # fmt: skip
        small.root.rename(moved)
    assert (small.directory / "results.json").is_file()


def test_other_commands_take_a_root_too(each_small_run):
    small = each_small_run
    with elsewhere(small) as moved:
        files = ["--config", str(small.directory / "config.yaml"), "--ckpt_path",
                 str(small.directory / "checkpoints" / "last.ckpt")]  # fmt: skip
        run(["validate", *files, "--root", str(moved)])
        run(["finetune", "--run", str(small.directory), "--root", str(moved), "--draws=1", "--steps=1", "--epochs=1",
             "--labels_per_class=[1]", "--batch_size=64"])  # fmt: skip


def test_data_of_no_folder_has_no_root(tmp_path):
    quickstart = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
    run(["fit", "--config", str(quickstart), "--trainer.max_steps=1", "--data.batch_size=8", "--probe_after_fit=false",
         f"--runs_dir={tmp_path}", "--trainer.accelerator=cpu"])  # fmt: skip
    (directory,) = tmp_path.glob("*/*")
    with pytest.raises(InputError, match="--root: the run's data, Digits, lies in no folder of yours"):
        run(["probe", "--run", str(directory), "--root", str(tmp_path)])


def test_root_in_a_file_of_settings_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("root: /data\n")
    with pytest.raises(InputError, match="root is for the command line"):
        run(["fit", "--config", "quickstart", "--config", str(tmp_path / "x.yaml")])


def test_a_run_reads_texts_by_its_own_tokenizer_without_its_data(tmp_path):
    small = small_run("text", tmp_path)
    with elsewhere(small):
        tokens = read_run(small.directory).data.tokens()
        assert tokens.tokenizer.decode(tokens.tokenizer.encode(["cat bread"])[0].tolist()) == "cat bread"
    assert tokens.tokenizer.hash == load_run(small.directory).data.tokens().tokenizer.hash
