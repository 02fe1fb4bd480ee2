"""The notebooks keep the outputs of one whole execution, hold no copy of the package's code, and run."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# Folders of a machine on which a notebook was executed.
MACHINE = re.compile(r"/(?:home|root|tmp|work|Users|private|var|opt)/")


def code_cells(path: Path) -> list[dict[str, Any]]:
    """The cells with code, at least one."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells
    return cells


def pictures(outputs: list[dict[str, Any]]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_there_is_one_for_each_idea():
    names = {path.stem for path in NOTEBOOKS}
    assert names >= {"first_steps", "one_encoder", "inside_bert", "inside_speech", "your_own_method"}
    assert names >= {"dna", "languages"}


@EACH
def test_a_notebook_keeps_what_one_execution_from_top_to_bottom_showed(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert pictures(outputs) >= 2 and not [output for output in outputs if output["output_type"] == "error"]


@EACH
def test_a_notebook_says_nothing_of_the_machine_that_executed_it(path):
    assert not MACHINE.findall(path.read_text())
    assert path.stat().st_size < 1_000_000


@EACH
def test_a_notebook_uses_the_package_and_defines_nothing(path):
    sources = ["".join(cell["source"]) for cell in code_cells(path)]
    tree = ast.parse("\n".join(source for source in sources if not source.startswith("%%writefile")))
    nodes = list(ast.walk(tree))
    assert any(isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "ssl_zoo" for node in nodes)
    assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)) for node in nodes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
@EACH
def test_a_notebook_runs_to_its_pictures(path, tmp_path, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("NOTEBOOK_RUNS", str(tmp_path))
    monkeypatch.setenv("NOTEBOOK_STEPS", "20")
    kept = pictures([output for cell in code_cells(path) for output in cell["outputs"]])
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert pictures(outputs) == kept
    if path.stem == "one_encoder":
        # Tables are drawn for Jupyter, and have a plain form beside it.
        printed = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)
        assert "SimCLR" in printed and "BYOL" in printed and "untrained encoder" in printed
