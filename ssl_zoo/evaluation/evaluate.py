"""One way of evaluating, for runs and for published encoders, on data of any modality."""

from functools import partial
from typing import NamedTuple

import torch

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.representations import Baseline, Representation
from ssl_zoo.evaluation.extraction import Kept, extract_part
from ssl_zoo.evaluation.labelled import remarks_on
from ssl_zoo.evaluation.layers import choose_layered, probe_layers
from ssl_zoo.evaluation.rows import Evaluated, Extracted, Extracting, evaluate_rows, probe_words
from ssl_zoo.evaluation.tasks import ALWAYS_THE_SAME, MAJORITY, Questions, ask, evaluate_tasks, majorities
from ssl_zoo.runs.results import MEANINGS, LayerScores
from ssl_zoo.tasks.labels import CLASSES, ExampleLabels
from ssl_zoo.whereabouts import whereabouts


class Choices(NamedTuple):
    """What a user may choose of an evaluation.

    Attributes:
        labels_per_class: labels per class to try, besides all.
        draws: random choices of the labelled examples to average over.
        layers: whether every layer is probed.
    """

    labels_per_class: list[int]
    draws: int
    layers: bool


class Extraction(NamedTuple):
    """How vectors are computed.

    Attributes:
        device: the device to compute on.
        at_once: examples of a batch at most; None leaves it to the data.
        announced: whether a bar shows how far it is.
    """

    device: torch.device
    at_once: int | None = None
    announced: bool = False


def evaluate(
    data: DataModule, encoders: dict[str, Representation], classes: int, choices: Choices, extraction: Extraction
) -> Evaluated:
    """Evaluates representations on everything that can be asked of some data, beside its baselines.

    Args:
        data: set up.
        encoders: encoders by row of the table, the one that matters first.
        classes: number of classes; 0 where there are other tasks alone.
        choices: the user's.
        extraction: how vectors are computed.
    """
    baselines = data.baselines()
    questions = ask(data, by_layer=choices.layers and classes > 0)
    vectors = {row: baseline for row, baseline in baselines.items() if isinstance(baseline, Representation)}
    layered = classes if choices.layers else 0
    rows: Extracting = {
        row: partial(_extract, row, each, data, questions, layered if row in encoders else 0, extraction)
        for row, each in {**encoders, **vectors}.items()
    }
    evaluated = evaluate_rows(rows, classes, choices.labels_per_class, choices.draws)
    for task, found in majorities(questions).items():
        if task in evaluated.tasks:  # some representation has vectors for it
            evaluated.tasks[task] |= found
    if classes:
        for row, baseline in baselines.items():
            if not isinstance(baseline, Representation):
                with whereabouts.during(f"probes of {row}"):
                    counted = probe_words(data, baseline.vocabulary, choices.labels_per_class, choices.draws)
                evaluated.results[row] = counted
        evaluated = evaluated._replace(remarks=remarks_on(data, choices.labels_per_class) + evaluated.remarks)
    known = [*([CLASSES] if classes else []), *evaluated.tasks]
    main_task = data.main_task if data.main_task in known else (known or [CLASSES])[0]
    sizes = questions.sizes if evaluated.tasks else {}
    return evaluated._replace(main_task=main_task, task_sizes=sizes, meanings=_meanings(evaluated, baselines))


def _meanings(evaluated: Evaluated, baselines: dict[str, Baseline]) -> dict[str, str]:
    """What the rows besides the first are, as far as somebody says."""
    known = {**MEANINGS, MAJORITY: ALWAYS_THE_SAME, **{row: each.meaning for row, each in baselines.items()}}
    for baseline in baselines.values():
        if isinstance(baseline, Representation):
            known |= {row: each.meaning for row, each in (baseline.place_rows or {}).items()}
    rows = dict.fromkeys([*evaluated.results, *(row for found in evaluated.tasks.values() for row in found)])
    return {row: known[row] for row in rows if known.get(row)}


def _extract(
    row: str,
    representation: Representation,
    data: DataModule,
    questions: Questions,
    classes: int,
    extraction: Extraction,
) -> Extracted:
    """One pass over all parts, and all that needs more than pooled vectors; `classes` is 0 where no layer is probed."""
    kept = {
        name: extract_part(
            representation,
            wanted,
            extraction.device,
            None if extraction.at_once is None else min(extraction.at_once, wanted.examples.fetched_at_once),
            f"{row}, {name}" if extraction.announced else "",
        )
        for name, wanted in questions.parts.items()
    }
    with whereabouts.during("other tasks"):
        tasks = evaluate_tasks(row, representation, kept, questions)
    with whereabouts.during("every layer"):
        layers = _probe_layers(data, kept, questions, classes) if classes else None
    return Extracted({name: each.features for name, each in kept.items()}, tasks, layers)


def _probe_layers(data: DataModule, kept: dict[str, Kept], questions: Questions, classes: int) -> LayerScores | None:
    """What every layer reaches on the classes; None of a representation that has none."""
    task = data.tasks()[CLASSES]
    assert isinstance(task, ExampleLabels)
    layers, labels = {}, {}
    for name, each in kept.items():
        if not each.has_layers:
            return None
        chosen = choose_layered(len(questions.parts[name].examples))
        places = torch.searchsorted(questions.parts[name].layered, chosen).to(each.features.vectors.device)
        layers[name] = [layer[places] for layer in each.layers]
        labels[name] = task.parts[name][chosen].to(places.device)
    return probe_layers(layers, labels, classes)
