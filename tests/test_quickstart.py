"""The README's promises, kept by running its commands."""

import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = re.findall(r"uv run ssl-zoo ([^\n]+)", (ROOT / "README.md").read_text())


def ssl_zoo(command: list[str], folder: Path) -> str:
    """Runs `ssl-zoo` as a user does, its runs going to `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "ssl_zoo", *command, *(["--runs_dir", str(folder)] if command[0] == "fit" else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_shows_how_to_fit_and_how_to_probe():
    assert {command.split()[0] for command in COMMANDS} == {"fit", "probe"}


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("fit")])
def test_every_fit_command_of_the_readme_runs(command, tmp_path):
    words = [word for word in command.split() if word != "\\"]
    ssl_zoo([*words, "--config", "experiments/smoke.yaml", "--trainer.accelerator=cpu"], tmp_path)
    (directory,) = tmp_path.glob("*/*")
    out = ssl_zoo(["probe", "--run", str(directory), "--ceiling=false", "--draws=1"], tmp_path)
    assert "untrained encoder" in out


@pytest.mark.slow
def test_the_quickstart_beats_its_floors_as_promised(tmp_path):
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
