"""The promises of README and docs, kept by running their commands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
import torch
from torchvision.models import resnet18

from ssl_zoo.cli import run
from tests.made import write_images, write_pairs, write_texts, write_waves

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = re.sub(r" \\\n\s*", " ", "\n".join(page.read_text() for page in PAGES))  # a backslash continues a command
# In order and without repetitions.
COMMANDS = list(dict.fromkeys(re.findall(r"^(?:pip install uv && )?uv run ssl-zoo (.+)$", LINES, re.MULTILINE)))
# What stands in for data that may have to be downloaded and for hardware that may not be there.
QUICK = ["--config", "experiments/smoke.yaml", "--data.train_size=20", "--trainer.accelerator=cpu",
         "--trainer.devices=1"]  # fmt: skip
HERE = [*QUICK, "--data.source=null", "--data.image_size=12"]


def ssl_zoo(command: list[str], runs: Path, cwd: Path = ROOT) -> str:
    """Runs `ssl-zoo` as a user does, its runs going to `runs`; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "ssl_zoo", *command, *(["--runs_dir", str(runs)] if command[0] == "fit" else [])],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_and_docs_show_what_a_run_is_good_for():
    assert {command.split()[0] for command in COMMANDS} == {
        "fit",
        "probe",
        "finetune",
        "in-context",
        "predict",
        "translate",
        "compare",
        "export",
        "probe-public",
        "sweep",
        "completion",
    }


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("fit")])
def test_every_fit_command_is_understood(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        run([*shlex.split(command), "--print_config"])
    assert not ended.value.code and "class_path" in capsys.readouterr().out


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("fit")])
def test_every_other_command_has_the_options_it_is_given(command, capsys):
    name, *words = command.split(" -- ")[0].split()
    with pytest.raises(SystemExit):
        run([name, "--help"])
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    given = {re.split(r"[.=]", word)[0] for word in words if word.startswith("--")}
    assert given <= known


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("fit")])
def test_every_fit_command_runs(command, tmp_path):
    options = HERE
    if "PHOTOS" in command:
        command = command.replace("PHOTOS", str(write_images(tmp_path / "photos", 40)))
        options = [*QUICK, "--data.image_size=12"]
    if "TEXTS" in command:
        command = command.replace("TEXTS", str(write_texts(tmp_path / "own.jsonl", 60, words=(150, 180))))
        options = [*QUICK, "--model.max_new_tokens=2"]
    if "RECORDINGS" in command:
        command = command.replace("RECORDINGS", str(write_waves(tmp_path / "recordings")))
        options = [*QUICK, "--data.batch_size=8"]
    if "experiments/text" in command:
        texts = write_texts(tmp_path / "texts.jsonl", 40, words=(150, 180))
        options = [*QUICK, "--data.source=TextFiles", f"--data.source.root={texts}"]
    if "text/mt_" in command:
        pairs = write_pairs(tmp_path / "pairs.tsv")
        options = [*QUICK, "--data.source=ParallelTexts", f"--data.source.root={pairs}"]
    if "runs/word2vec" in command:  # of the command before
        earlier = tmp_path / "earlier"
        ssl_zoo(["fit", "--config", "experiments/text/word2vec.yaml", *options, "--probe_after_fit=false"], earlier)
        command = command.replace("runs/word2vec", str(earlier / "word2vec"))
    if "experiments/audio" in command:
        options = [*QUICK, "--data.source=tests.made.Tones", "--data.crop_seconds=0.7", "--data.batch_size=8"]
    baseline = "untrained encoder"
    if "torchvision:resnet18" in command:
        weights, baseline = tmp_path / "weights.pth", "before"
        torch.save(resnet18().state_dict(), weights)  # in place of the download
        command = command.replace("torchvision:resnet18", str(weights))
    ssl_zoo([*shlex.split(command), *options], tmp_path)
    (directory,) = tmp_path.glob("*/*-*-*")
    out = ssl_zoo(["probe", "--run", str(directory), "--ceiling=false", "--draws=1"], tmp_path)
    assert baseline in out


def test_the_comparison_of_all_methods_can_be_planned(tmp_path, monkeypatch, capsys):
    (command,) = [command for command in COMMANDS if command.endswith(" -- --probe.ceiling false")]
    planned = command.replace("--budget 2min", "--samples 1000 --list").replace("runs/sweeps", str(tmp_path))
    assert planned.count(str(tmp_path)) == 1 and "--list" in planned
    expanded = ["bash", "-c", rf"printf '%s\n' {planned}"]  # a shell finds the files
    words = subprocess.run(expanded, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    monkeypatch.chdir(ROOT)
    run(words)
    printed = capsys.readouterr().out
    experiments = re.findall(r"^ssl-zoo fit --config experiments/(\S+)\.yaml ", printed, re.MULTILINE)
    assert len(set(experiments)) == len(printed.splitlines()) == 9
    assert {path.split("/")[0] for path in experiments} == {"image", "text", "audio"}


@pytest.mark.slow
def test_the_readmes_own_method_runs(tmp_path):
    (snippet,) = [code for code in re.findall(r"```python\n(.+?)```", README, re.DOTALL) if "my_module" in code]
    (tmp_path / "my_module.py").write_text(snippet)
    options = ["--model=my_module.Rotation", "--model.encoder=ResNet", "--model.encoder.width=8", "--data=ImageData",
               "--data.batch_size=32", "--trainer.max_steps=5", "--probe.draws=1"]  # fmt: skip
    out = ssl_zoo(["fit", *options], tmp_path / "runs", cwd=tmp_path)
    assert "Rotation on Digits" in out and "supervised" in out


@pytest.mark.slow
def test_encoders_and_embeddings_go_out_and_in_by_the_commands(tmp_path):
    options = ["--trainer.max_steps=2", "--probe_after_fit=false"]
    ssl_zoo(["fit", "--config", "experiments/quickstart.yaml", *options], tmp_path / "fit")
    (directory,) = (tmp_path / "fit").glob("quickstart/*")
    torch.save(resnet18().state_dict(), tmp_path / "weights.pth")  # in place of the download
    elsewhere = ["--runs_dir", str(tmp_path)]
    more = {
        "predict": [],
        "export": [],
        "probe-public": [f"--weights={tmp_path / 'weights.pth'}", "--image_size=32", "--draws=1", *elsewhere],
    }
    for name, options in more.items():
        (command,) = {command for command in COMMANDS if command.split()[0] == name and "FOLDER" not in command}
        command = command.replace("RUN", str(directory)).replace("exported", str(tmp_path / "exported"))
        ssl_zoo([*shlex.split(command), *options], tmp_path)
    assert (directory / "embeddings-all.npz").is_file()
    assert (tmp_path / "exported" / "model.safetensors").is_file()
    (results,) = tmp_path.glob("public/*/results.json")
    assert json.loads(results.read_text())["rows"]["raw inputs"]


@pytest.mark.slow
def test_the_quickstart_beats_its_baselines_as_promised(tmp_path):
    rows = []
    for seed in range(3):
        out = ssl_zoo(["fit", "--config", "experiments/quickstart.yaml", f"--seed_everything={seed}"], tmp_path)
        assert "raw inputs" in out and "supervised" in out
    for path in tmp_path.glob("quickstart/*/results.json"):
        rows.append(json.loads(path.read_text())["rows"])
    assert len(rows) == 3

    def accuracy(row: str, labels: str) -> float:
        return 100 * mean(found[row]["linear"][labels]["mean"] for found in rows)

    def lead(labels: str) -> float:
        return accuracy("SimCLR", labels) - max(accuracy("raw inputs", labels), accuracy("untrained encoder", labels))

    assert lead("1") >= 15 and lead("5") >= 8 and lead("all") >= 0
