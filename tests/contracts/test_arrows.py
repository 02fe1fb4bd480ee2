"""Imports run one way: the code's are those that the plan of the house allows."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.contracts.arrows import (
    ARROWS,
    BEGIN,
    COMMAND_LINE,
    END,
    FOUNDATIONS,
    PACKAGE,
    ROOT,
    WITHOUT,
    graph,
    imports,
    modules,
    room_of,
    rooms,
    table,
)

LONGEST = 300  # lines of a file


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One that the edges have; empty where they have none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:  # which is what is asked for
        return error.args[1]
    return []


def test_no_modules_import_each_other() -> None:
    assert not circle(graph())


def test_no_rooms_import_each_other() -> None:
    assert not circle({room: imported for room, imported in rooms().items() if room})


def test_a_circle_would_be_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_arrows_point_upwards_in_the_table() -> None:
    above: set[str] = set()
    for room, allowed in ARROWS.items():
        assert set(allowed) <= above, f"{room} is allowed what stands below it"
        above.add(room)


def test_every_room_and_file_has_its_place_in_the_plan() -> None:
    places = {room_of(module) for module in modules()} - {""}
    assert places == {*FOUNDATIONS, *ARROWS, *COMMAND_LINE}, "say in tests/contracts/arrows.py where it belongs"


@pytest.mark.parametrize("room", [*ARROWS, *FOUNDATIONS])
def test_a_room_imports_what_it_may(room: str) -> None:
    allowed = {"", room, *FOUNDATIONS, *ARROWS.get(room, ())}
    wrong = {
        f"{module} imports {other}"
        for module, imported in graph().items()
        if room_of(module) == room
        for other in imported
        if room_of(other) not in allowed
    }
    assert not wrong


@pytest.mark.parametrize("room", WITHOUT)
def test_a_room_does_without_libraries_that_are_not_its_business(room: str) -> None:
    hidden = {"ssl_zoo.lightning_inside"} if "lightning" in WITHOUT[room] else set()
    wrong = {
        f"{module} imports {other}"
        for module, path in modules().items()
        if room_of(module) == room
        for other in imports(path)
        if other.split(".")[0] in WITHOUT[room] or other in hidden
    }
    assert not wrong


def test_packages_run_nothing_when_they_are_imported() -> None:
    for path in PACKAGE.rglob("*/__init__.py"):
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), f"{path} has more than a docstring"


def test_contributing_prints_the_plan() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0].strip() == table(), "python tests/contracts/arrows.py writes it anew"


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in modules().values()}
    assert not {path: length for path, length in lengths.items() if length > LONGEST}
