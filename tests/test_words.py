"""Words of the field in all that people read: the ones below have a better one, which is named beside each."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTEAD = {
    "told": "predicted, distinguished or reported",
    "tells": "predicts, distinguishes or says",
    "heard": "extracted",
    "hears": "extracts",
    "judged": "evaluated",
    "judges": "evaluates",
    "unheard": "held-out",
    "worth": "deserves or needs",
    "foretell": "predict",
    "foretells": "predicts",
    "floor": "baseline",
    "floors": "baselines",
}
# Names are made of words too, `floor_style` of two; `floor(x)` and `x.floor_()` are mathematics.
WORD = re.compile(rf"(?<![a-z])(?!floor_?\()({'|'.join(INSTEAD)})(?![a-z])", re.IGNORECASE)
FILES = "*.py *.md *.yaml *.yml *.toml *.ipynb *.css *.js *.html *.sh".split()

# `std: of the noise`: read alone, in `--model.help`, such an entry has no subject. Errors have it in their names.
HEADLESS = re.compile(r"^ {8,12}[a-z]\w*: (?:of|for|to|with|by|from|as|which|its|likewise)\b.*", re.MULTILINE)


def complaints(text: str) -> list[str]:
    """What to write instead, for every line that has such a word; lines of pictures and data are left out."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if len(line) < 2000]
    return [
        f"line {number}: {word[0]!r}, better {INSTEAD[word[0].lower()]}"
        for number, line in lines
        for word in WORD.finditer(line)
    ]


@pytest.mark.parametrize("folder", ["ssl_zoo", "tests", "benchmarks", "experiments", "docs", "notebooks", "."])
def test_words_are_those_of_the_field(folder):
    paths = [path for glob in FILES for path in (ROOT / folder).glob(glob if folder == "." else f"**/{glob}")]
    assert paths
    found = {
        str(path.relative_to(ROOT)): complaints(path.read_text(encoding="utf-8"))
        for path in paths
        if path != Path(__file__)
    }
    assert not {path: lines for path, lines in found.items() if lines}


def test_names_are_seen_and_mathematics_is_not():
    assert len(complaints("def test_it_is_told():\n    floor_style(Judged)\n    # the floors")) == 4
    assert not complaints("math.floor(x), x.floor_(), ``floor(a * n)``, an untold threshold, file.tell(), toldness")


def test_entries_of_docstrings_stand_alone():
    found = {str(path): HEADLESS.findall(path.read_text(encoding="utf-8")) for path in (ROOT / "ssl_zoo").rglob("*.py")}
    assert not {path: entries for path, entries in found.items() if entries}
    assert HEADLESS.findall("    Args:\n        std: of the noise.\n        steps: number of steps.") == [
        "        std: of the noise."
    ]
