"""Tables read back from terminals of 80, 120 and more columns."""

from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len

from ssl_zoo.evaluation import in_context, tables
from ssl_zoo.finetuning import table
from ssl_zoo.runs.fine_tuned import FineTuned, TaskData, TuningBudget
from ssl_zoo.runs.in_context_file import InContext, Prompted
from ssl_zoo.runs.results import LayerScores, Parts, TaskScore
from ssl_zoo.terminal_tables import Column, Row, print_table
from tests.made_results import made, score
from tests.terminal import on_terminal

PACKAGE = Path(__file__).parents[1] / "ssl_zoo"
LABELS = ["1", "2", "5", "10", "20", "50", "100", "all"]
NAMES = ["Wav2Vec2", "untrained encoder", "log-mel statistics", "supervised"]


def scores(mean, balanced=True):
    return {labels: score(mean, 0.01, mean if balanced else None)._replace(draws=[mean, mean]) for labels in LABELS}


RESULT = made(
    method="Wav2Vec2",
    data=Parts("DebianSpeech", "12", "34", 2430, 304, 675),
    rows={name: {"linear": scores(0.9876 - 0.1 * place), "knn": scores(0.8)} for place, name in enumerate(NAMES)},
    layers={name: LayerScores([0.5] * 25, [0.512] * 25, 3) for name in NAMES},
    tasks={"phones": {name: TaskScore(0.698, 0.57, [1 / 25] * 25) for name in NAMES}},
    task_sizes={"phones": {"classes": 51, "train": 110_000, "validation": 15_000, "test": 25_000}},
)
FINE_TUNED = FineTuned(
    protocol=2,
    task="classes",
    counted="labels per class",
    data=TaskData("WordNet", "12", test=2000, left_out=(3, 4)),
    budget=TuningBudget(300, 16, 3e-4, epochs=3),
    rows={
        name: {figure: scores(mean, balanced=False) for figure in ("accuracy", "balanced accuracy")}
        for name, mean in (("BERT", 0.578), ("untrained encoder", 0.411))
    },
    remarks=[],
    seeds=[0, 1],
    method="BERT",
)
PROMPTED = {shots: Prompted(each, 0.0) for shots, each in scores(0.345).items() if shots != "all"}
IN_CONTEXT = InContext(
    "run", "WordNet", "", [], 200, 2, 0.125, {"GPT": PROMPTED, "untrained encoder": PROMPTED}, remarks=[]
)
PRINTED = {
    "accuracies": (partial(tables.print_table, RESULT), ["98.8 ± 1.0", "88.8 ± 1.0", "78.8 ± 1.0", "68.8 ± 1.0"]),
    "layers": (partial(tables.print_layers, RESULT), ["51.2", "from the first to the last"]),
    "tasks": (partial(tables.print_tasks, RESULT), ["69.8", "57.0", "phones, 51"]),
    "fine-tuning": (partial(table.print_table, FINE_TUNED), ["57.8 ± 1.0", "41.1 ± 1.0"]),
    "in context": (partial(in_context._print_table, IN_CONTEXT), ["34.5 ± 1.0", "12.5"]),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", PRINTED)
def test_tables_fit_the_terminal_with_whole_numbers(name, width, monkeypatch):
    printed, shown = PRINTED[name]
    lines = on_terminal(width, printed, monkeypatch)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text and not [number for number in shown if number not in text]


def test_all_labels_stay_and_what_has_no_room_is_named(monkeypatch):
    lines = on_terminal(80, partial(tables.print_table, RESULT), monkeypatch)
    head = next(line for line in lines if "representation" in line)
    assert " 10 ┃" in head and " all ┃" in head and " 100 ┃" not in head
    said = " ".join(" ".join(lines).split())
    assert "No room for" in said and "100" in said.split("No room for")[1] and "results.json has all of it" in said
    assert "No room for" not in " ".join(on_terminal(200, partial(tables.print_table, RESULT), monkeypatch))


def test_the_least_important_columns_go_first_and_what_stays_is_never_cut(monkeypatch):
    columns = [Column("name", number=False), Column("a"), Column("b", leave_out=2), Column("c", leave_out=1)]
    rows = [Row(["a name of many words that may be broken", "12345.67 ± 8.9", "22222222", "33333333"])]

    def at(width):
        return "\n".join(on_terminal(width, lambda: print_table("t", "", columns, rows), monkeypatch))

    assert all(number in at(90) for number in ("12345.67 ± 8.9", "22222222", "33333333"))
    assert "33333333" in at(52) and "22222222" not in at(52)
    assert "33333333" not in at(40) and "12345.67 ± 8.9" in at(40)
    assert "12345.67 ± 8.9" in at(20)  # wider than the terminal rather than cut


def test_every_table_is_made_to_fit():
    makers = [path for path in PACKAGE.rglob("*.py") if "rich.table" in path.read_text(encoding="utf-8")]
    assert [path.name for path in makers] == ["terminal_tables.py"]
