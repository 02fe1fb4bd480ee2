"""The rows of a leaderboard: experiments over their seeds, and the baselines and the ceiling among them."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from ssl_zoo.compare.entry import BASELINE, CEILING, METHOD, ByLabels, Entry
from ssl_zoo.compare.experiments import differences, labels
from ssl_zoo.compare.groups import Group, comparable_finetuning
from ssl_zoo.compare.ranking import Ranking, rankings, usual_ranking
from ssl_zoo.compare.results import FineTuning
from ssl_zoo.compare.runs import Remark, RunRecord
from ssl_zoo.compare.statistics import Estimate, estimate
from ssl_zoo.runs.results import ALL, BEFORE, COPIED, SUPERVISED, UNTRAINED


class Leaderboard(NamedTuple):
    """A group of runs with its rows, the best first.

    Attributes:
        group: runs that it ranks.
        entries: rows of the leaderboard.
        probes: further tasks besides the classes.
        ranking: what it ranks by.
        headline: the accuracy that pictures show: what it ranks by, or by default would; no accuracy without labels.
        conditions: conditions of the fine-tuning in words, by kind.
    """

    group: Group
    entries: list[Entry]
    probes: list[str]
    ranking: Ranking
    headline: Ranking
    conditions: dict[str, str]

    @property
    def methods(self) -> list[Entry]:
        """The rows that are ranked."""
        return [entry for entry in self.entries if entry.kind == METHOD]

    @property
    def references(self) -> list[Entry]:
        """Baselines and ceilings."""
        return [entry for entry in self.entries if entry.kind != METHOD]


def make_leaderboard(group: Group, rank_by: str | None = None) -> tuple[Leaderboard, list[Remark]]:
    """Merges seeds, ranks (equal ones by the kNN), and adds baselines and ceiling.

    Args:
        group: runs that may be compared.
        rank_by: what to rank by, see `rankings`; where it is unknown, or None, `default_ranking` says.

    Returns:
        The leaderboard, and remarks about runs and results that are left out of it.
    """
    experiments, remarks = merge_seeds(group.runs)
    finetuning, more = comparable_finetuning([run for runs in experiments for run in runs])
    entries = [
        _entry(METHOD, label, runs[0].result.method, runs[0].result.encoder, runs, runs[0].result.own_row)._replace(
            costs=_costs(runs),
            health=_means([run.result.health for run in runs]),
            bleu=_bleu(runs, runs[0].result.own_row),
            finetuning={kind: _finetuned([found[run.name] for run in runs if run.name in found])
                        for kind, found in finetuning.items()},
            differences=differing,
        )
        for runs, label, differing in zip(experiments, labels(experiments), differences(experiments), strict=True)
    ]  # fmt: skip
    probes = _union(run.result.tasks for run in group.runs)
    accuracies = [entry.accuracy for entry in entries]
    known = rankings(entries)
    usual = usual_ranking(known, group.runs[0].result.main_task, probes, accuracies)
    ranking = known.get(rank_by or usual, known[usual])

    def order(entry: Entry) -> tuple[bool, float, float, str]:
        found = ranking.value(entry)
        place = 0.0 if found is None else found.mean if ranking.less_is_better else -found.mean
        return found is None, place, -entry.score("knn", ranking.labels or ALL), entry.label

    entries.sort(key=order)
    entries = [
        entry._replace(rank=None if ranking.value(entry) is None else rank) for rank, entry in enumerate(entries, 1)
    ]
    entries += _references([run for runs in experiments for run in runs])
    conditions = {kind: ", ".join(next(iter(found.values())).conditions.values()) for kind, found in finetuning.items()}
    headline = ranking if ranking.is_accuracy else known[usual]
    board = Leaderboard(group, sorted(entries, key=order), probes, ranking, headline, conditions)
    return board, remarks + more


def merge_seeds(runs: list[RunRecord]) -> tuple[list[list[RunRecord]], list[Remark]]:
    """Runs that differ in nothing but the seed, together.

    Of two runs with the same settings and seed the later counts: they are one measurement made twice.
    """
    by_settings: dict[str, dict[Any, RunRecord]] = {}
    remarks: list[Remark] = []
    for run in sorted(runs, key=lambda run: (run.directory.name, run.name, run.directory)):  # names begin with the time
        result = run.result
        alone = str(run.directory) if run.settings is None else ""
        key = json.dumps([result.method, result.encoder, run.settings, alone], sort_keys=True, default=str)
        seeds = by_settings.setdefault(key, {})
        seed = run.name if run.seed is None else run.seed
        if seed in seeds:
            again = f"The run is not counted: {run.name} repeats it with the same seed."
            remarks.append(Remark(seeds[seed].name, again, False))
        seeds[seed] = run
    return [list(seeds.values()) for seeds in by_settings.values()], remarks


def _references(runs: list[RunRecord]) -> list[Entry]:
    """Baselines and ceilings: one row for each that sees the data alone, and one per encoder for the others."""
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        for row in list(run.rows)[1:]:
            found.setdefault((row, _network(run) if row in (UNTRAINED, BEFORE, SUPERVISED) else ""), []).append(run)
    entries = []
    for (row, network), measured in found.items():
        encoder = measured[0].result.encoder if network else ""
        alike = [runs[0].result.encoder for (other, _), runs in found.items() if other == row]
        # As much as distinguishes the networks.
        name = "" if len(alike) == 1 else network if alike.count(encoder) > 1 else encoder
        label = f"{row} · {name}" if name else row
        entries.append(_entry(CEILING if row == SUPERVISED else BASELINE, label, row, encoder, measured, row))
    translating = [run for run in runs if run.result.translation]
    if translating:
        copied = {part: found._replace(interval=None) for part, found in _bleu(translating, COPIED).items()}
        modality = translating[0].result.modality
        entries.append(Entry(BASELINE, COPIED, COPIED, "", modality, None, translating, {}, {}, {}, {}, [], copied))
    return entries


def _bleu(runs: list[RunRecord], row: str) -> dict[str, Estimate]:
    return _means([
        {part: rows[row].bleu for part, rows in run.result.translation.items() if row in rows} for run in runs
    ])  # fmt: skip


def _network(run: RunRecord) -> str:
    source = f" from {run.result.pretrained}" if run.result.pretrained else ""
    return f"{run.result.encoder} of {run.result.parameters:,} parameters{source}"


def _entry(kind: str, label: str, method: str, encoder: str, runs: list[RunRecord], row: str) -> Entry:
    rows = [run.rows[row] for run in runs]
    accuracy = {
        probe: _means([found.get(probe, {}) for found in rows]) for probe in _union(found.keys() for found in rows)
    }
    if kind != METHOD:  # runs are no seeds of a baseline, whose network and examples are the same in all of them
        accuracy = {
            probe: {labels: found._replace(interval=None) for labels, found in by_labels.items()}
            for probe, by_labels in accuracy.items()
        }
    return Entry(kind, label, method, encoder, runs[0].result.modality, None, runs, accuracy, {}, {}, {}, [], {})


def _costs(runs: list[RunRecord]) -> dict[str, Estimate]:
    figures = ("seconds", "samples", "flops", "peak_memory")
    known = [
        {**{name: getattr(run.result.budget, name) for name in figures}, "parameters": run.result.parameters}
        for run in runs
    ]
    if runs[0].result.budget.steps == 0:  # trained elsewhere, at a cost unknown here
        known = [{"parameters": costs["parameters"]} for costs in known]
    return _means([{name: value for name, value in costs.items() if value is not None} for costs in known])


def _finetuned(found: list[FineTuning]) -> dict[str, dict[str, ByLabels]]:
    """Over seeds, by row (`""` is the method's own), figure and number of examples."""
    if not found:
        return {}
    own = [next(iter(one.rows.values())) for one in found]
    others = [row for row in (BEFORE, UNTRAINED) if any(row in one.rows for one in found)]
    rows = {"": own, **{row: [one.rows.get(row, {}) for one in found] for row in others}}
    return {
        row: {
            figure: _means([kinds.get(figure, {}) for kinds in over])
            for figure in _union(kinds.keys() for kinds in over)
        }
        for row, over in rows.items()
    }


def _means(over: list[dict[str, float]]) -> dict[str, Estimate]:
    """The mean of every figure over the runs that have it."""
    names = _union(one.keys() for one in over)
    return {name: estimate([float(one[name]) for one in over if name in one]) for name in names}


def _union(parts: Iterable[Iterable[str]]) -> list[str]:
    """All names once, in the order in which they first appear."""
    return list(dict.fromkeys(name for part in parts for name in part))
