"""Nothing is silenced, skipped or caught without a reason on its line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("ssl_zoo", "benchmarks", "tests", "docs")
SILENCER = re.compile(r"# (?:(?:ruff: )?noqa|type: ignore|mypy: |pragma: no)\S*")
MARK = "# " + "noqa"  # in two parts, as ruff would take it for one of this file
SKIPS = ("skip", "xfail")
EVERYTHING = ("Exception", "BaseException")
# What points elsewhere goes wrong when the line there moves.
NO_REASON = re.compile(r"  # (?:as above|below|as there|the same|reasons stand above(?:, one by one)?)$")
LOSSES = ("errors='replace'", "errors='ignore'")  # of decoding
CALLS = ("filterwarnings", "simplefilter", "suppress", "catch_warnings")


def unexplained(source: str) -> Iterator[int]:
    """Numbers of the lines that lack their reason."""
    lines = source.splitlines()
    for number, line in enumerate(lines, start=1):
        found = SILENCER.search(line)
        if (found and "  # " not in line[found.end() :]) or NO_REASON.search(line):
            yield number
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            # An error that becomes another one in any case is not swallowed: the sentence that follows is the reason.
            # What catches everything says why even so.
            caught = ast.unparse(node.type) if node.type else "BaseException"
            asked = not isinstance(node.body[-1], ast.Raise) or caught in EVERYTHING
            last = node.body[0].lineno - 1
        elif isinstance(node, ast.Call) and (called := ast.unparse(node.func).split(".")[-1]) in CALLS:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            words = [value.value for value in given if isinstance(value, ast.Constant)]
            asked = any(str(word).startswith("ignore") for word in words) or called == "suppress"
            last = node.end_lineno or node.lineno
        elif isinstance(node, ast.Call) and any(ast.unparse(keyword) in LOSSES for keyword in node.keywords):
            asked, last = True, node.end_lineno or node.lineno
        elif isinstance(node, ast.Call) and any(keyword.arg == "ignore_errors" for keyword in node.keywords):
            asked, last = True, node.end_lineno or node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
            asked = all(keyword.arg != "reason" for keyword in node.keywords)
            last = node.end_lineno or node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SKIPS:
            asked = not node.args and not node.keywords and ast.unparse(node.func).startswith("pytest.")
            last = node.lineno
        else:
            continue
        if asked and not any("  # " in line for line in lines[node.lineno - 1 : max(last, node.lineno)]):
            yield node.lineno


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_silencer_says_why(folder):
    sources = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))}
    assert sources
    found = {path: sorted(set(unexplained(source))) for path, source in sources.items()}
    assert not [f"{path.relative_to(ROOT)}:{number}" for path, numbers in found.items() for number in numbers]


def test_what_is_unexplained_is_found():
    source = (
        f"import os  {MARK}: F401\n"
        f"import re  {MARK}: F401  # asked for by name\n"
        f"import me  {MARK}: F401\n"
        "try:\n    x()\nexcept OSError:\n    pass\n"
        "try:\n    x()\nexcept OSError:  # it may be gone\n    pass\n"
        "try:\n    x()\nexcept OSError as error:\n    raise ValueError('a sentence') from error\n"
        "try:\n    x()\nexcept OSError:\n    if y:\n        raise\n"
        "warnings.filterwarnings('ignore')\n"
        "warnings.simplefilter('always')\n"
        "pytest.skip('no disk')\npytest.skip()\n"
        "pytest.importorskip('timm')\npytest.importorskip('timm')  # an extra\n"
        "try:\n    x()\nexcept BaseException:\n    y()\n    raise\n"
        "atexit.register(rmtree, folder, ignore_errors=True)\n"
        f"import it  {MARK}: F401  # as above\n"
        "warnings.filterwarnings('ignore', message)  # reasons stand above\n"
        f"import him  {MARK}: F401  # the same\n"
        "with suppress(OSError):\n    x()\n"
        "with catch_warnings(action='ignore'):\n    x()\n"
        "with catch_warnings(action='error'):\n    x()\n"
        "# ruff: " + MARK.removeprefix("# ") + "\n"
        "# " + "mypy: ignore-errors\n"
        "y()  # pragma: no cover\ny()  # pragma: no cover  # of Windows\n"
        "x.decode(errors='replace')\nx.decode(errors='replace')  # of a page\n"
    )
    assert sorted(unexplained(source)) == [1, 3, 6, 18, 21, 24, 25, 29, 32, 33, 34, 35, 36, 38, 42, 43, 44, 46]
