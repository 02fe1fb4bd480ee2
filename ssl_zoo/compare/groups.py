"""Which runs may be ranked against each other, and how the others differ."""

from collections import Counter
from typing import NamedTuple

from ssl_zoo.compare.results import FineTuning, parts_of
from ssl_zoo.compare.runs import Remark, RunRecord


class Group(NamedTuple):
    """Runs that were evaluated on the same examples in the same way.

    Attributes:
        source: what the data is called, and where two sets are called alike, which of them it is.
        split: hash of the parts.
        protocol: version of the evaluation.
        parts: numbers of training, validation and test examples.
        runs: at least one run.
    """

    source: str
    split: str
    protocol: int
    parts: dict[str, int]
    runs: list[RunRecord]


def group_runs(runs: list[RunRecord]) -> tuple[list[Group], list[Remark]]:
    """One group per set of data: the newest protocol of its runs, the split of most of these, and how others differ.

    Two sets may be called alike; each is a group of its own then, with the beginning of its identity in its name. A run
    of an older version, which says no identity, goes along with most of those on data that is called alike.

    Where as many runs have another split, the larger training set counts. Runs of an older protocol are not ranked
    beside newer ones, however many they are: their probes can be run again.

    Args:
        runs: runs in any order.

    Returns:
        Groups by source, and a remark for every run that is not ranked.
    """
    groups: list[Group] = []
    remarks: list[Remark] = []
    for source, here in _by_data(runs).items():
        votes = Counter((run.result.data.split, run.result.protocol) for run in here)
        sizes = {run.result.data.split: run.result.data.train for run in here}
        split, protocol = max(votes, key=lambda key: (key[1], votes[key], sizes[key[0]], key[0]))
        ranked: list[RunRecord] = []
        others: list[RunRecord] = []
        for run in here:
            alike = (run.result.data.split, run.result.protocol) == (split, protocol)
            (ranked if alike else others).append(run)
        group = Group(source, split, protocol, parts_of(ranked[0].result), ranked)
        groups.append(group)
        for run in others:
            remarks.append(Remark(run.name, f"The run is not ranked on {source}: {how_it_differs(run, group)}.", False))
    return groups, remarks


def _by_data(runs: list[RunRecord]) -> dict[str, list[RunRecord]]:
    """The runs of every set of data, by a name that no other has."""
    named: dict[str, list[RunRecord]] = {}
    for source in sorted({run.result.data.source for run in runs}):
        here = [run for run in runs if run.result.data.source == source]
        counts = Counter(run.result.data.identity for run in here if run.result.data.identity)
        if len(counts) < 2:
            named[source] = here
            continue
        commonest = max(counts, key=lambda identity: (counts[identity], identity))
        for identity in sorted(counts):
            named[f"{source} ({identity[:6]})"] = [
                run for run in here if (run.result.data.identity or commonest) == identity
            ]
    return named


def how_it_differs(run: RunRecord, group: Group) -> str:
    """What keeps a run out of a group, in words."""
    result = run.result
    reasons: list[str] = []
    if result.protocol != group.protocol:
        # Published encoders have no steps.
        again = "ssl-zoo probe --run" if result.budget.steps else "ssl-zoo probe-public"
        reasons.append(
            f"its evaluation follows protocol {result.protocol} instead of {group.protocol} "
            f"(`{again}` evaluates it again)"
        )
    if result.data.split != group.split:
        unequal = [part for part, count in group.parts.items() if parts_of(result)[part] != count]
        for part in unequal:
            word = {"train": "trains on", "validation": "validates on", "test": "tests on"}[part]
            reasons.append(f"it {word} {parts_of(result)[part]:,} examples instead of {group.parts[part]:,}")
        if not unequal:
            reasons.append(
                f"its parts are as large but hold other examples (split {result.data.split}, not {group.split})"
            )
    return " and ".join(reasons)


def comparable_finetuning(runs: list[RunRecord]) -> tuple[dict[str, dict[str, FineTuning]], list[Remark]]:
    """The fine-tuning results that were made under the same conditions: those of most runs.

    Args:
        runs: runs of one group.

    Returns:
        Results by kind of fine-tuning and by the run's name, and a remark on every result that is left out.
    """
    kept: dict[str, dict[str, FineTuning]] = {}
    remarks: list[Remark] = []
    for kind in sorted({kind for run in runs for kind in run.finetuning}):
        found = {run.name: run.finetuning[kind] for run in runs if kind in run.finetuning}
        votes = Counter(tuple(one.conditions.values()) for one in found.values())
        chosen = max(votes, key=lambda key: (votes[key], key))
        kept[kind] = {name: one for name, one in found.items() if tuple(one.conditions.values()) == chosen}
        for name, one in found.items():
            if name not in kept[kind]:
                differing = [
                    f"{own} instead of {usual}"
                    for own, usual in zip(one.conditions.values(), chosen, strict=True)
                    if own != usual
                ]
                remarks.append(Remark(name, f"Its fine-tuning on {kind} is left out: {', '.join(differing)}.", True))
    return kept, remarks
