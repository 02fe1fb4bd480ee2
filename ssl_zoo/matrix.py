"""What works on what: every method on every modality, as the contract tests find it."""

import json
from pathlib import Path
from typing import NamedTuple

# Written by `python -m tests.contracts.matrix`; to find out takes PyTorch and a minute, and to read it neither.
FOUND = Path(__file__).with_suffix(".json")
MODALITIES = ("image", "speech", "text")
NOT = "-"


class Tried(NamedTuple):
    """A method on every modality.

    Attributes:
        method: name of its class.
        paper: arXiv id of its paper, or its authors and year.
        encoders: encoder that it works with, by modality.
        refused: why it does not, in a sentence, by modality.
    """

    method: str
    paper: str
    encoders: dict[str, str]
    refused: dict[str, str]

    def cells(self) -> list[str]:
        """Method, paper, and an encoder for each modality."""
        return [self.method, self.paper, *(self.encoders.get(modality, NOT) for modality in MODALITIES)]


class Matrix(NamedTuple):
    """All methods.

    Attributes:
        parts: what methods that take such a part were given, by the part's name and by modality.
        rows: methods by name.
    """

    parts: dict[str, dict[str, str]]
    rows: list[Tried]


def read() -> Matrix:
    """What was found."""
    found = json.loads(FOUND.read_text(encoding="utf-8"))
    return Matrix(found["parts"], [Tried(name, **row) for name, row in found["methods"].items()])


def write(matrix: Matrix) -> None:
    """Keeps what was found."""
    rows = {
        row.method: {name: value for name, value in row._asdict().items() if name != "method"} for row in matrix.rows
    }
    FOUND.write_text(json.dumps({"parts": matrix.parts, "methods": rows}, indent=1) + "\n", encoding="utf-8")


def methods() -> None:
    """Prints every method with its paper, and an encoder that it works with on images, speech and text, or why not."""
    matrix = read()
    table = [["method", "paper", *MODALITIES], *(row.cells() for row in matrix.rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    for cells in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())
    print(f"\n{shared_parts(matrix)}\nssl-zoo fit --model.help METHOD explains the settings of one.")
    refused = [(row, modality) for row in matrix.rows for modality in MODALITIES if modality in row.refused]
    if refused:
        print("\nWhy not:")
    for row, modality in refused:
        print(f"  {row.method} on {modality}: {row.refused[modality]}")


def shared_parts(matrix: Matrix) -> str:
    """What methods with views or a decoder were given on each modality, in a sentence."""
    said = [f"{name} are {', '.join(kinds.values())}" for name, kinds in matrix.parts.items()]
    return f"Tried with an encoder on each modality; where a method takes them, {'; '.join(said)}."


def markdown(matrix: Matrix) -> str:
    """The same as Markdown."""
    lines = [f"| method | paper | {' | '.join(MODALITIES)} |", f"|{'---|' * (2 + len(MODALITIES))}"]
    for row in matrix.rows:
        name, paper, *cells = row.cells()
        paper = f"[{paper}](https://arxiv.org/abs/{paper})" if paper[:4].isdigit() else paper
        lines.append(f"| {name} | {paper} | {' | '.join('' if cell == NOT else f'`{cell}`' for cell in cells)} |")
    lines += ["", shared_parts(matrix), "", "Where a cell is empty, this is what a run of it says:", ""]
    lines += [
        f"- {row.method}, {modality}: {row.refused[modality]}"
        for row in matrix.rows
        for modality in MODALITIES
        if modality in row.refused
    ]
    return "\n".join(lines)
