"""The comparison as one HTML page that needs no other file and no network."""

import base64
import hashlib
import os
import struct
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from ssl_zoo.compare.entry import METHOD, Entry
from ssl_zoo.compare.explanations import explain
from ssl_zoo.compare.figures import Picture
from ssl_zoo.compare.grid import Grid, Row
from ssl_zoo.compare.grids import make_grids
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.naming import file_names
from ssl_zoo.compare.runs import Remark, RunRecord

# A picture's pixels on a phone: at 130 to the inch, ten-point letters are eleven pixels high there.
PHONE = 0.62


def write_report(
    boards: list[Leaderboard],
    pictures: list[Picture],
    remarks: list[Remark],
    path: Path,
    together: Grid | None = None,
) -> None:
    """Writes the page; the same arguments give the same bytes.

    The page forbids itself by its Content-Security-Policy whatever is not in it: it loads nothing, and runs no script
    but its own, whatever the names of methods and data may hold.

    Args:
        boards: leaderboards, at least one.
        pictures: PNG files, which become part of the page.
        remarks: what is left out, and why.
        path: path of the page.
        together: methods over modalities; None where there is one.
    """
    style, script = (files("ssl_zoo.compare").joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    anchors = file_names([board.group.source for board in boards])
    names = [board.group.source for board in boards]
    policy = (
        f"default-src 'none'; img-src data:; style-src {_seal(style)}; script-src {_seal(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    runs = sum(len(entry.runs) for board in boards for entry in board.methods)
    links = [f'<li><a href="#{anchor}">{escape(name)}</a></li>' for anchor, name in zip(anchors, names, strict=True)]
    if together is not None:
        links.insert(0, f'<li><a href="#across">{escape(together.title)}</a></li>')
    links.append('<li><a href="#left-out">Left out</a></li>' if remarks else "")
    links.append('<li><a href="#how">How these numbers were made</a></li>')
    page = "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Self-supervised methods on {escape(', '.join(names))}</title>",
            f"<style>{style}</style>\n</head>\n<body>",
            f"<h1>Self-supervised methods on {escape(', '.join(names))}</h1>",
            f'<p class="lead">{runs} {"run" if runs == 1 else "runs"}, ranked by '
            f"{escape('; '.join(dict.fromkeys(board.ranking.words for board in boards)))}. A click on a column's head "
            "sorts by it.</p>",
            f"<nav><ul>{''.join(links)}</ul></nav>",
            _controls([entry for board in boards for entry in board.entries]),
            '<div class="gallery">',
            *(_figure(picture) for picture in pictures if picture.board is None),
            "</div>",
            f'<section id="across">\n{_table(together, path)}\n</section>' if together is not None else "",
            *(
                _section(board, [picture for picture in pictures if picture.board == number], anchors[number], path)
                for number, board in enumerate(boards)
            ),
            _left_out(remarks) if remarks else "",
            _how(boards),
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page.encode("utf-8"))  # not as text, whose line ends depend on the system


def _seal(content: str) -> str:
    """What lets the page's own style or script through its policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode()}'"


def _controls(entries: list[Entry]) -> str:
    methods = sorted({entry.method for entry in entries if entry.kind == METHOD})
    modalities = sorted({entry.modality for entry in entries if entry.modality})
    kinds = [kind for kind in ("baseline", "ceiling") if any(entry.kind == kind for entry in entries)]
    return (
        '<form id="controls" autocomplete="off">\n'
        '<label>Filter <input type="search" name="words" placeholder="words in a row"></label>\n'
        + _boxes("method", "Methods", methods)
        + _boxes("modality", "Modalities", modalities)
        + _boxes("kind", "Beside them", kinds)
        + '<button type="reset">Show all</button>\n<span id="count" role="status"></span>\n</form>'
    )


def _boxes(name: str, title: str, values: list[str]) -> str:
    if not values:
        return ""
    plural = {"baseline": "baselines", "ceiling": "ceilings"}
    boxes = "".join(
        f'<label><input type="checkbox" name="{name}" value="{escape(value)}" checked> '
        f"{escape(plural.get(value, value))}</label>"
        for value in values
    )
    return f"<fieldset><legend>{title}</legend>{boxes}</fieldset>\n"


def _section(board: Leaderboard, pictures: list[Picture], anchor: str, page: Path) -> str:
    group = board.group
    sizes = ", ".join(f"{count:,} {part}" for part, count in group.parts.items())
    lines = [
        f'<section id="{anchor}">\n<h2>{escape(group.source)}</h2>',
        f'<p class="lead">{sizes} examples; split <code>{escape(group.split)}</code>, protocol {group.protocol}.</p>',
        *(_table(grid, page) for grid in make_grids(board)),
        *map(_figure, pictures),
        "</section>",
    ]
    return "\n".join(lines)


def _table(grid: Grid, page: Path) -> str:
    heads = "".join(
        f'<th scope="col"{_number(column.number)} title="{escape(column.meaning)}">'
        f'<button type="button">{escape(column.name)}</button></th>'
        for column in grid.columns
    )
    rows = "\n".join(_row(grid, row, page) for row in grid.rows)
    warning = f'\n<p class="warning">{escape(grid.warning)}</p>' if grid.warning else ""
    return (
        f'<h3>{escape(grid.title)}</h3>{warning}\n<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n'
        f'<tbody>\n{rows}\n</tbody>\n</table></div>\n<p class="note">{escape(grid.note)}</p>'
    )


def _row(grid: Grid, row: Row, page: Path) -> str:
    entry = row.entry
    cells = []
    for column, cell in zip(grid.columns, row.cells, strict=True):
        value = "" if cell.value is None else f' data-value="{cell.value!r}"'
        wide = ' class="wide"' if column.name in ("settings", "run") else ""
        content = escape(cell.text)
        if column.name == "run" and cell.text:
            content = ", ".join(_link(run, page) for run in entry.runs)
        elif column.name == "experiment":
            content = content.replace("_", "_<wbr>")  # where a long name may be broken
            content = f"<b>{content}</b>" if entry.kind == METHOD else content
        cells.append(f"<td{wide or _number(column.number)}{value}>{content}</td>")
    about = f'data-method="{escape(entry.method)}" data-modality="{escape(entry.modality)}" data-kind="{entry.kind}"'
    names = ", ".join(run.name for run in entry.runs)
    return f'<tr class="{entry.kind}" {about} title="{escape(names)}">{"".join(cells)}</tr>'


def _link(run: RunRecord, page: Path) -> str:
    """To a run's folder, seen from the page: both may move together."""
    try:
        path = Path(os.path.relpath(run.directory, page.resolve().parent)).as_posix()
    except ValueError:  # on Windows, from another drive, there is no such path
        return escape(run.name)
    return f'<a href="{escape(quote(path))}/">{escape(run.name)}</a>'


def _number(number: bool) -> str:
    return ' class="number"' if number else ""


def _figure(picture: Picture) -> str:
    content = picture.path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # where a PNG has its size
    # The size that a phone shows it in, where it scrolls: shrunk to the screen its words could not be read.
    size = f'width="{round(PHONE * width)}" height="{round(PHONE * height)}"'
    return (
        f'<figure>\n<h3>{escape(picture.title)}</h3>\n<div class="scroll"><img alt="{escape(picture.alternative)}" '
        f'{size} src="data:image/png;base64,{base64.b64encode(content).decode()}"></div>\n'
        f"<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"
    )


def _left_out(remarks: list[Remark]) -> str:
    rows = "\n".join(
        f"<tr><td>{escape(remark.run)}</td><td>{'yes' if remark.ranked else 'no'}</td>"
        f"<td>{escape(remark.sentence)}</td></tr>"
        for remark in sorted(remarks, key=lambda remark: (remark.ranked, remark))
    )
    return (
        '<section id="left-out">\n<h2>Left out</h2>\n<div class="scroll"><table class="remarks">\n<thead><tr>'
        '<th scope="col">run</th><th scope="col">ranked</th><th scope="col">what is left out, and why</th>'
        f"</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n</section>"
    )


def _how(boards: list[Leaderboard]) -> str:
    terms = "\n".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in explain(boards))
    return f'<section id="how">\n<h2>How these numbers were made</h2>\n<dl>\n{terms}\n</dl>\n</section>'
