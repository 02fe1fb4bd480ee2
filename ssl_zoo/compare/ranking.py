"""What a leaderboard may rank by, under the names that `ssl-zoo compare --rank_by` takes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ssl_zoo import metrics
from ssl_zoo.compare.entry import CEILING, METHOD, Entry
from ssl_zoo.compare.results import BALANCED, CHOSEN_LAYER, LAST_LAYER
from ssl_zoo.compare.similarities import first_places, word_similarity
from ssl_zoo.compare.statistics import Estimate, estimate
from ssl_zoo.probes.health import FIGURES
from ssl_zoo.runs.results import ALL, LINEAR

# Where pretraining is meant to help; with all labels raw pixels may do as well.
FEW_LABELS = "10"
WITHOUT_LABELS = "health:rank"
BLEU = "bleu"  # on all sources
LAYERS = {
    LAST_LAYER: "linear probe of the last layer",
    CHOSEN_LAYER: "linear probe of the layer that validation data chooses",
}
COSTS = {
    "seconds": "seconds of training",
    "samples": "examples seen in training",
    "flops": "FLOPs of the training",
    "peak_memory": "memory",
    "parameters": "parameters of the encoder",
}


class Ranking(NamedTuple):
    """What to rank by.

    Attributes:
        name: name that the command line takes.
        words: what it is called in a sentence.
        value: value of a row; None where it is unknown.
        labels: per class, of the probe; empty where that means nothing.
        probe: the probe whose accuracy it is, or the task; empty of everything else.
        is_accuracy: whether values lie in [0, 1] and are shown in %.
        less_is_better: whether the smallest comes first.
    """

    name: str
    words: str
    value: Callable[[Entry], Estimate | None]
    labels: str = ""
    is_accuracy: bool = False
    less_is_better: bool = False
    probe: str = ""


def default_ranking(main_task: str, tasks: Sequence[str], accuracies: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """The name of what is ranked by unless somebody chooses.

    The data's main task where it is not the classes: of speech the phones, since voice and channel, which any average
    of a recording shows, may predict its classes. Else the linear probe with ten labels per class, or with all where
    some run was not probed with ten; else the first task.

    Args:
        main_task: main task of the data, as its runs say.
        tasks: besides the classes.
        accuracies: accuracies of every method, by probe and by labels per class.
    """
    if main_task in tasks:
        return main_task
    if accuracies and all(FEW_LABELS in one.get(LINEAR, {}) for one in accuracies):
        return f"{LINEAR}:{FEW_LABELS}"
    return f"{LINEAR}:{ALL}" if any(LINEAR in one for one in accuracies) else tasks[0]


def usual_ranking(
    known: Mapping[str, Any],
    main_task: str,
    tasks: Sequence[str],
    accuracies: Sequence[Mapping[str, Mapping[str, Any]]],
) -> str:
    """The name of what methods are ranked by unless somebody chooses: without any accuracy by BLEU, or by health.

    Args:
        known: what they can be ranked by, by name.
        main_task: main task of the data, as its runs say.
        tasks: besides the classes.
        accuracies: accuracies of every method, by probe and by labels per class.
    """
    if tasks or any(accuracies):
        return default_ranking(main_task, tasks, accuracies)
    return next((name for name in (BLEU, WITHOUT_LABELS, "loss") if name in known), next(iter(known)))


def rankings(entries: list[Entry]) -> dict[str, Ranking]:
    """All that is known of some methods and can be ranked by, by name.

    Args:
        entries: methods.
    """
    found = [_accuracy(probe, labels) for probe, labels in _keys(entry.accuracy for entry in entries)]
    found += [
        Ranking(f"tuned:{kind}:{number}", f"fine-tuning on {kind} with {number} examples", _tuned(kind, number),
                is_accuracy=True)
        for kind, number in _keys(
            {kind: next(iter(rows[""].values()), {}) for kind, rows in entry.finetuning.items() if "" in rows}
            for entry in entries
        )
    ]  # fmt: skip
    parts = list(dict.fromkeys(part for entry in entries for part in entry.bleu))
    for number, part in enumerate(parts):
        found.append(Ranking(f"{BLEU}:{part}" if number else BLEU, f"the BLEU of {part}", _bleu(part)))
    for pairs in dict.fromkeys(name for entry in entries for name in word_similarity(entry)):
        words = f"the agreement with people about {pairs}"
        found.append(Ranking(f"words:{pairs}", words, _within(word_similarity, pairs)))
    for direction in dict.fromkeys(name for entry in entries for name in first_places(entry)):
        words = f"how often the same is found first, {direction}"
        found.append(Ranking(f"retrieval:{direction}", words, _within(first_places, direction)))
    for name in dict.fromkeys(name for entry in entries for name in entry.health):
        short = name.removeprefix(f"{metrics.HEALTH}/")
        words = f"the {short.replace('_', ' ')} of the features"
        less_is_better = short in FIGURES and FIGURES[short].less_is_better
        found.append(Ranking(f"health:{short}", words, _health(name), less_is_better=less_is_better))
    for cost, words in COSTS.items():
        if any(cost in entry.costs for entry in entries):
            found.append(Ranking(cost, words, _cost(cost), less_is_better=True))
    if any(last_loss(entry) is not None for entry in entries):
        found.append(Ranking("loss", "the method's own loss at the end", last_loss, less_is_better=True))
    return {ranking.name: ranking for ranking in found}


def describe(probe: str, labels: str) -> str:
    """An accuracy in words, such as `linear probe with 10 labels per class`."""
    balanced = "balanced accuracy of the " if probe.startswith(BALANCED) else ""
    probe = probe.removeprefix(BALANCED)
    if probe in LAYERS:
        return LAYERS[probe]
    name = {LINEAR: "linear probe", "knn": "kNN"}.get(probe)
    if name is None:
        return f"{balanced}linear probe of {probe}"
    amount = "all labels" if labels == ALL else f"{labels} label{'s' * (labels != '1')} per class"
    return f"{balanced}{name} with {amount}"


def _keys(over: Any) -> list[tuple[str, str]]:
    return list(dict.fromkeys((outer, inner) for one in over for outer, within in one.items() for inner in within))


def _accuracy(probe: str, labels: str) -> Ranking:
    on_classes = probe.removeprefix(BALANCED) in (LINEAR, "knn")
    name = f"balanced:{probe.removeprefix(BALANCED)}" if probe.startswith(BALANCED) else probe
    name = f"{name}:{labels}" if on_classes else name
    words = f"the {describe(probe, labels)}"

    def value(entry: Entry) -> Estimate | None:
        # The ceiling is trained with all labels, and stands above any number of them.
        known = ALL if entry.kind == CEILING else labels
        return entry.accuracy.get(probe, {}).get(known)

    return Ranking(name, words, value, labels if on_classes else "", is_accuracy=True, probe=probe)


def _tuned(kind: str, number: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: next(iter(entry.finetuning.get(kind, {}).get("", {}).values()), {}).get(number)


def _bleu(part: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: entry.bleu.get(part)


def _within(means: Callable[[Entry], Mapping[str, Estimate]], name: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: means(entry).get(name)


def _health(name: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: entry.health.get(name)


def _cost(name: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: entry.costs.get(name)


def last_loss(entry: Entry) -> Estimate | None:
    """A method's own loss at the end: on validation data where it was logged, else on the last training batches."""
    if entry.kind != METHOD:
        return None
    for name in (f"{metrics.VALIDATION}/loss", f"{metrics.TRAIN}/loss"):
        last = [run.curves[name][-1][1] for run in entry.runs if run.curves.get(name)]
        if last:
            return estimate(last)
    return None
