"""README's index of methods: every experiment and every method has its row, and the figures are those of its file."""

import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.contracts.experiments import EACH_EXPERIMENT, FOLDER, METHODS, class_of, method_of, settings_of

README = (FOLDER.parent / "README.md").read_text()
# Those for data of one's own are short on purpose: a beginning, to be changed.
WHOLE = [each for each in EACH_EXPERIMENT if each.values[0].parent.name != "own"]
MODALITIES = {"ImageData": "image", "TextData": "text", "AudioData": "speech"}


class Row(NamedTuple):
    """One line of the index, what is empty filled in from the line above."""

    method: str
    paper: str
    modality: str
    reached: str


def index() -> dict[Path, Row]:
    """The rows by experiment."""
    (table,) = re.findall(r"<!-- methods -->\n(.+?)<!-- end of methods -->", README, re.DOTALL)
    rows: dict[Path, Row] = {}
    method = paper = ""
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].startswith("**"):
            continue  # a family
        method, paper = cells[0] or method, cells[1] or paper
        (link,) = re.findall(r"\]\((experiments/\S+)\)", cells[3])
        path = FOLDER.parent / link
        assert path not in rows
        rows[path] = Row(method, paper, cells[2], cells[4])
    return rows


def header(path: Path) -> str:
    """What stands on top of an experiment, in one line."""
    (comment,) = re.findall(r"\A((?:#.*\n)+)", path.read_text())
    return comment.replace("\n# ", " ")


def test_the_index_has_every_experiment_and_nothing_else():
    assert set(index()) == {each.values[0] for each in EACH_EXPERIMENT}


def test_every_yaml_file_is_in_readme():
    assert not [
        path.name for path in FOLDER.rglob("*.yaml") if f"(experiments/{path.relative_to(FOLDER)})" not in README
    ]


def test_every_method_has_an_experiment_in_the_index():
    assert {method_of(path) for path in index()} == set(METHODS)


@pytest.mark.parametrize("path", EACH_EXPERIMENT)
def test_a_row_says_what_the_experiment_is(path):
    row = index()[path]
    method = class_of(method_of(path))
    docstring = method.__doc__ or ""
    names = re.sub(r"\W", "", row.method).lower()
    assert names.startswith(method.__name__.lower().removesuffix("v3"))
    ids = re.findall(r"\d{4}\.\d{5}(?=\])", row.paper)
    assert "](https://" in row.paper and all(paper in docstring + header(path) for paper in ids)
    assert row.modality == MODALITIES[settings_of(path)["data"]["class_path"]]


@pytest.mark.parametrize("path", WHOLE)
def test_an_experiment_shows_every_argument_of_its_method(path):
    text = path.read_text()  # an argument without effect there may be named in a comment
    arguments = inspect.signature(class_of(method_of(path))).parameters
    assert not [name for name in [*arguments, "schedule"] if not re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize("path", EACH_EXPERIMENT)
def test_what_was_reached_is_what_the_file_says(path):
    reached, said = index()[path].reached, header(path)
    figures = re.findall(r"\d+(?:\.\d+)?", reached)
    assert not [figure for figure in figures if not re.search(rf"\b{figure}\b", said)]
    assert figures or (reached.startswith("not yet run") and re.search("not yet run|nor run to its end", said, re.I))
    assert "¹" not in reached or "protocol 2" in said


@pytest.mark.parametrize(
    "page", [FOLDER.parent / "README.md", *sorted((FOLDER.parent / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert not [link for link in links if "://" not in link and not (page.parent / link).is_file()]
