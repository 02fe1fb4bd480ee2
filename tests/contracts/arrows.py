"""The plan of the house: its rooms from the lowest to the highest, and what each may import.

`python tests/contracts/arrows.py` writes it into CONTRIBUTING.md.
"""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ssl_zoo"
BEGIN, END = "<!-- rooms -->", "<!-- end of rooms -->"

# Single files that any room may import; among themselves in any order that has no circle.
FOUNDATIONS = (
    "batch",
    "distributed",
    "errors",
    "hardware",
    "hub",
    "lars",
    "launched",
    "lightning_inside",
    "long_work",
    "metrics",
    "mixed_precision",
    "new",
    "optim",
    "own_code",
    "packaged",
    "processes",
    "randomness",
    "rebuilding",
    "schedules",
    "signals",
    "suggestions",
    "terminal_tables",
    "vocabulary",
    "whereabouts",
    "writable",
    "yaml_files",
)
# Single files that may import all rooms, and that no room imports.
COMMAND_LINE = (
    "__main__",
    "class_help",
    "cli",
    "commands",
    "completion",
    "data_settings",
    "front",
    "matrix",
    "parsing",
    "predict_cli",
    "save_config",
    "training_cli",
)

# Every room imports those above it in this table at most.
ARROWS: dict[str, tuple[str, ...]] = {
    "encoders": (),
    "decoders": ("encoders",),
    "corruption": ("encoders",),
    "parts": ("encoders",),
    "targets": ("encoders", "parts"),
    "objectives": (),
    "views": (),
    "tasks": ("encoders",),
    "methods": ("encoders", "decoders", "corruption", "parts", "targets", "objectives", "views"),
    "data/cache": (),
    "data": ("tasks",),
    "data/sources": ("data", "data/cache"),
    "data/audio": ("data", "data/cache", "data/sources", "encoders", "tasks"),
    "data/image": ("data", "data/cache", "data/sources", "parts"),
    "data/text": ("data", "data/cache", "data/sources"),
    "probes": ("data", "parts"),
    "runs": ("data", "encoders", "methods", "probes", "tasks"),
    "callbacks": ("data", "decoders", "encoders", "methods", "objectives", "parts", "probes", "runs", "tasks", "views"),
    "evaluation": ("callbacks", "data", "data/text", "encoders", "methods", "objectives", "probes", "runs", "tasks"),
    "tracking": ("data", "evaluation", "methods", "probes", "runs"),
    "export": ("callbacks", "data", "data/text", "encoders", "methods", "runs"),
    "finetuning": ("callbacks", "data", "data/text", "encoders", "evaluation", "probes", "runs", "tasks"),
    "analysis": ("data", "data/text", "encoders", "evaluation", "finetuning", "methods", "probes", "runs", "tasks"),
    "compare": ("evaluation", "probes", "runs", "tasks"),
    "sweep": ("compare", "runs"),
}
# Libraries that a room does without.
WITHOUT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("encoders", "decoders", "corruption", "parts", "targets", "objectives", "views", "tasks"), ("lightning",)
    ),
    "data/cache": ("lightning", "torch"),
}


@cache
def modules() -> dict[str, Path]:
    """Files of the package by their names, such as `ssl_zoo.data.base`; a package's is that of its `__init__`."""
    # What `ssl-zoo new` copies is a user's code, which imports what it likes and nobody imports.
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "templates")
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths)
    return dict(zip(names, paths, strict=True))


@cache
def imports(path: Path) -> set[str]:
    """What a file imports, by whole names: within functions too, and for type checkers alone too."""
    known, found = modules(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and node.level == 0, f"{path} has a relative import: name the whole module"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module)
    return found


@cache
def graph() -> dict[str, set[str]]:
    """The package's modules, and which of each other they import."""
    known = modules()
    return {name: imports(path) & known.keys() for name, path in known.items()}


def room_of(module: str) -> str:
    """The room that a module lies in, the name of a single file, or nothing for the package itself."""
    parts = module.split(".")[1:]
    inner = "/".join(parts[:2])
    return inner if inner in ARROWS else "".join(parts[:1])


def rooms() -> dict[str, set[str]]:
    """Rooms and single files, and which of each other they import."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, imported in graph().items():
        found[room_of(module)] |= {room_of(other) for other in imported} - {room_of(module)}
    return dict(found)


def phrase(place: str) -> str:
    """The first sentence of a room's or file's docstring."""
    path = PACKAGE / f"{place}.py" if (PACKAGE / f"{place}.py").is_file() else PACKAGE / place / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text is not None, f"{path} has no docstring"
    return " ".join(text.split("\n\n")[0].split()).removesuffix(".").replace("|", "\\|")


def table() -> str:
    """The plan, in Markdown."""
    lines = ["| file | holds |", "|---|---|"]
    lines += [f"| `{name}.py` | {phrase(name)} |" for name in FOUNDATIONS]
    lines += ["", "| room | holds | imports | does without |", "|---|---|---|---|"]
    for room, allowed in ARROWS.items():
        without = ", ".join(f"`{library}`" for library in WITHOUT.get(room, ()))
        lines.append(f"| `{room}/` | {phrase(room)} | {', '.join(f'`{other}`' for other in allowed)} | {without} |")
    lines += ["", "| command line | holds |", "|---|---|"]
    lines += [f"| `{name}.py` | {phrase(name)} |" for name in COMMAND_LINE]
    return "\n".join(lines)


def main() -> None:
    """Writes the plan into CONTRIBUTING.md."""
    path = ROOT / "CONTRIBUTING.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
