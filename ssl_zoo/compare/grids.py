"""A leaderboard as grids of text, which the terminal and the report show alike."""

from ssl_zoo import metrics
from ssl_zoo.compare.entry import METHOD, ByLabels, Entry
from ssl_zoo.compare.grid import NO_CELL, Cell, Column, Grid, Row, lead, leading, percent, shown
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.ranking import describe, last_loss
from ssl_zoo.compare.results import BALANCED, CHOSEN_LAYER, LAST_LAYER
from ssl_zoo.compare.runs import date_of
from ssl_zoo.compare.similarity_grids import similarity_grids
from ssl_zoo.compare.undecided import warning
from ssl_zoo.compare.units import duration, quantity
from ssl_zoo.probes.health import FIGURES
from ssl_zoo.runs.results import ALL, BEFORE, LINEAR, UNTRAINED

# Of a figure that one method has of itself.
ITS_OWN = "logged by the method of its own representation; what the method says of itself explains it"


METHOD_COLUMN = Column("method", "what the encoder was trained by", number=False, leave_out=35, room=8)
DETAILS = (
    Column("encoder", "network whose features are probed", number=False, leave_out=60),
    Column("modality", "what the encoder reads", number=False, leave_out=99),
    Column("date", "when the newest of its runs was started", number=False, leave_out=70),
    Column("settings", "what most of the other rows have otherwise", number=False, leave_out=85, room=40),
    Column("run", "folder of the run, or those of the seeds", number=False, leave_out=100, room=30),
)


def make_grids(board: Leaderboard) -> list[Grid]:
    """Accuracies, two layers, what is alike, costs with health, and every kind of fine-tuning."""
    layers = [_layers(board)] if any(LAST_LAYER in entry.accuracy for entry in board.entries) else []
    accuracies = [_accuracies(board)] if any(entry.accuracy for entry in board.entries) else []
    return [
        *accuracies,
        *layers,
        *similarity_grids(board),
        _costs(board),
        *(_finetuning(board, kind) for kind in board.conditions),
    ]


def label_counts(entries: list[Entry], probe: str = "linear") -> list[str]:
    """Labels per class that any entry was probed with, ascending, all labels last."""
    return in_order({labels for entry in entries for labels in entry.accuracy.get(probe, {})})


def in_order(numbers: set[str]) -> list[str]:
    """Numbers of examples in ascending order; what is no number, such as "all", comes last."""
    return sorted(numbers, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def _accuracies(board: Leaderboard) -> Grid:
    balanced = [f"{BALANCED}{probe}" for probe in (*board.probes, LINEAR, "knn")]
    balanced = [probe for probe in balanced if any(probe in entry.accuracy for entry in board.entries)]
    on_classes = [LINEAR, "knn", *balanced]
    probes = [(task, ALL) for task in board.probes]
    probes += [(probe, labels) for probe in on_classes for labels in label_counts(board.entries, probe)]
    probes.sort(key=lambda probe: not _decides(board, *probe))  # it comes first, and the others stay in order
    columns = []
    for probe, labels in probes:
        name = probe.replace("knn", "kNN") + (f" {labels}" if probe.removeprefix(BALANCED) in (LINEAR, "knn") else "")
        kind = "" if probe in balanced else "accuracy of the "
        meaning = f"in % on test data, the {kind}{describe(probe, labels)}"
        if probe in board.probes:
            meaning += ", on a weighted sum of the encoder's layers"
        columns.append(Column(name, meaning, leave_out=_leave_out(board, probe, labels)))
    for kind in board.conditions:
        meaning = f"test figure in % after fine-tuning on {kind} with all examples, see that table"
        columns.append(Column(f"tuned {kind}", meaning, leave_out=30))
    place, label, seeds = leading(board)
    # What is ranked by beside the name, where a small screen shows it.
    columns = [place, label, columns[0], METHOD_COLUMN, seeds, *columns[1:], *DETAILS]
    rows = []
    for entry in board.entries:
        rank_cell, name_cell, seeds_cell = lead(entry)
        shares = [percent(entry.accuracy.get(probe, {}).get(labels)) for probe, labels in probes]
        method, *details = _details(entry)
        cells = [rank_cell, name_cell, shares[0], method, seeds_cell, *shares[1:]]
        cells += [percent(_main_figure(entry, kind).get(ALL)) for kind in board.conditions]
        rows.append(Row(entry, [*cells, *details]))
    note = (
        f"Ranked by {board.ranking.words}. Test accuracy in %, ± half the 95 % interval over seeds; baselines and "
        "ceiling are means over runs."
    )
    if any(entry.differences for entry in board.methods):
        note += " Settings are those that most of the other rows have otherwise; each run's config.yaml has all."
    if balanced:
        note += " Balanced is the mean accuracy over classes, which differ in size."
    return _filled(Grid("Accuracy", note, columns, rows, warning(board)))


def _details(entry: Entry) -> list[Cell]:
    """Its method and what `DETAILS` name."""
    runs = entry.runs if entry.kind == METHOD else []
    date = max((date_of(run.directory) for run in runs), default=NO_CELL)
    texts = (entry.method if runs else NO_CELL, entry.encoder, entry.modality, date, ", ".join(entry.differences),
             ", ".join(run.name for run in runs))  # fmt: skip
    return [Cell(text) for text in texts]


def _filled(grid: Grid) -> Grid:
    """Without columns in which nothing stands."""
    numbers = range(len(grid.columns))
    filled = [number for number in numbers if number == 0 or any(row.cells[number].text for row in grid.rows)]
    rows = [Row(row.entry, [row.cells[number] for number in filled]) for row in grid.rows]
    return grid._replace(columns=[grid.columns[number] for number in filled], rows=rows)


def _decides(board: Leaderboard, probe: str, labels: str) -> bool:
    ranking = board.ranking
    return probe == ranking.probe and ranking.labels in ("", labels)


def _leave_out(board: Leaderboard, probe: str, labels: str) -> int:
    """How soon a terminal leaves an accuracy out: never what is ranked by, and what says least first."""
    if _decides(board, probe, labels):
        return 0
    if probe.startswith(BALANCED):
        return 90 if labels != ALL else 80
    if probe == "knn":
        return 75 if labels != ALL else 50
    if probe == LINEAR:
        return 45 if labels != ALL else 10
    return 20  # a further task


def _layers(board: Leaderboard) -> Grid:
    columns = [
        *leading(board),
        Column("last layer", "test accuracy in % of a linear probe on the last layer's vectors, all labels"),
        Column("chosen layer", "the same of the layer whose probe is best on validation data"),
    ]
    rows = [
        Row(entry, [*lead(entry), *(percent(entry.accuracy[probe].get(ALL)) for probe in (LAST_LAYER, CHOSEN_LAYER))])
        for entry in board.entries
        if LAST_LAYER in entry.accuracy
    ]
    note = "Vectors are averaged over an example's places. Validation data chooses the layer, never the test part."
    return Grid("Layer by layer", note, columns, rows)


def _costs(board: Leaderboard) -> Grid:
    meanings = {f"{metrics.HEALTH}/{name}": figure.meaning for name, figure in FIGURES.items()}
    logged = dict.fromkeys(name for entry in board.methods for name in entry.health)
    health = {name: meanings.get(name, ITS_OWN) for name in (*meanings, *logged) if name in logged}
    parts = list(dict.fromkeys(part for entry in board.methods for part in entry.bleu))
    columns = [
        *leading(board),
        *(Column(f"BLEU, {part}", "of translations of the test texts, from 0 to 100") for part in parts),
        Column("time", "wall-clock time of the training steps"),
        Column("samples", "training examples seen, repetitions counted", leave_out=10),
        Column("FLOPs", "floating-point operations of the training, forward and backward", leave_out=20),
        Column("memory", "most bytes in use: of the GPU, or of the whole process on a CPU", leave_out=40),
        Column("parameters", "of the encoder", leave_out=30),
        *(
            Column(name.removeprefix(f"{metrics.HEALTH}/").replace("_", " "), meaning, leave_out=50 + place)
            for place, (name, meaning) in enumerate(health.items())
        ),
    ]
    without_labels = not board.headline.is_accuracy
    if without_labels:
        meaning = "the method's own, of validation data where it was logged; those of different methods differ in kind"
        columns.insert(3 + len(parts), Column("loss", meaning))
        columns += [METHOD_COLUMN, *DETAILS]  # which stand with the accuracies where there are some
    heads = {"seconds": "time", "peak_memory": "memory", "flops": "FLOPs"}
    ranked = board.ranking.name.removeprefix(f"{metrics.HEALTH}:").replace("_", " ")
    ranked = heads.get(board.ranking.name, ranked)
    columns = [column._replace(leave_out=0) if column.name == ranked else column for column in columns]
    rows = []
    for entry in [entry for entry in board.entries if entry.kind == METHOD or entry.bleu]:
        known = entry.costs
        cells = [
            *lead(entry),
            *(shown(entry.bleu.get(part), lambda value: f"{value:.1f}") for part in parts),
            *([shown(last_loss(entry), lambda value: f"{value:.4g}")] if without_labels else []),
            shown(known.get("seconds"), duration),
            shown(known.get("samples"), quantity),
            shown(known.get("flops"), quantity),
            shown(known.get("peak_memory"), lambda value: f"{quantity(value)}B"),
            shown(known.get("parameters"), quantity),
            *(shown(entry.health.get(name), lambda value: f"{value:.3g}") for name in health),
            *(_details(entry) if without_labels else []),
        ]
        rows.append(Row(entry, cells))
    note = "Means over seeds. Health is that of the last validation, on features of data the run was not trained on."
    if without_labels:
        note = f"Ranked by {board.ranking.words}, as there are no classes. {note}"
    return _filled(Grid("Cost and health", note, columns, rows))


def _finetuning(board: Leaderboard, kind: str) -> Grid:
    tuned = [entry for entry in board.methods if entry.finetuning.get(kind)]
    figures: dict[str, set[str]] = {}
    for entry in tuned:
        for by_figure in entry.finetuning[kind].values():
            for figure, by_number in by_figure.items():
                figures.setdefault(figure, set()).update(by_number)
    places = [(figure, number) for figure, numbers in figures.items() for number in in_order(numbers)]
    columns = [
        *leading(board),
        Column("start", "weights that fine-tuning starts from", number=False),
        *(
            Column(
                f"{figure} {number}", f"{figure} on test data in %, {number} examples", leave_out=len(places) - place
            )
            for place, (figure, number) in enumerate(places, 1)
        ),
    ]
    rows = []
    for entry in tuned:
        for row, start in (("", "pretrained"), (BEFORE, "frozen, linear probe"), (UNTRAINED, "untrained")):
            if row not in entry.finetuning[kind]:
                continue
            by_figure = entry.finetuning[kind][row]
            cells = [percent(by_figure.get(figure, {}).get(number)) for figure, number in places]
            rows.append(Row(entry, [*lead(entry), Cell(start), *cells]))
    note = f"All weights trained further: {board.conditions[kind]}. Figures in %, ± half the 95 % interval over seeds."
    return Grid(f"Fine-tuning on {kind}", note, columns, rows)


def _main_figure(entry: Entry, kind: str) -> ByLabels:
    """The first figure of a fine-tuned method, such as accuracy."""
    return next(iter(entry.finetuning.get(kind, {}).get("", {}).values()), {})
