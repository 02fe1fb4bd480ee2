"""What can be said of a run on data without classes: health, a map of the features, and what it takes for alike."""

from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor
from torch.utils.data import Subset

from ssl_zoo import metrics
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import UNLABELLED
from ssl_zoo.data.representations import Representation
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.evaluation.figures import draw_plain_maps, map_features
from ssl_zoo.evaluation.kept_features import EXAMPLES, save_features
from ssl_zoo.evaluation.neighbours import (
    Neighbours,
    choose_shown,
    draw_neighbours,
    find_neighbours,
    write_neighbours,
)
from ssl_zoo.evaluation.tables import print_retrieval, print_translation, print_word_similarity, title
from ssl_zoo.probes.features import Features, choose_examples, extract
from ssl_zoo.probes.health import FIGURES
from ssl_zoo.runs import files
from ssl_zoo.runs.result_file import write_result
from ssl_zoo.runs.results import Result
from ssl_zoo.terminal_tables import Column, Row, print_table
from ssl_zoo.whereabouts import whereabouts

SEARCHED = 10_000  # training examples among which neighbours are looked for


class Unlabelled(NamedTuple):
    """What came of an evaluation without labels.

    Attributes:
        health: health figures by row and by name, such as `health/rank`, of the chosen test examples.
        kept: ``(N, D)`` features of these, by row, on the CPU.
        neighbours: nearest training examples of some test examples, by the features of the first row.
    """

    health: dict[str, dict[str, float]]
    kept: dict[str, Tensor]
    neighbours: Neighbours


def evaluate_unlabelled(data: DataModule, encoders: dict[str, Representation], device: torch.device) -> Unlabelled:
    """Measures representations of test examples without any labels, beside the data's baselines.

    Args:
        data: set up, with two test examples at least.
        encoders: encoders by row, the run's own first.
        device: the device to compute on.
    """
    baselines = {row: each for row, each in data.baselines().items() if isinstance(each, Representation)}
    health: dict[str, dict[str, float]] = {}
    kept: dict[str, Tensor] = {}
    chosen = choose_examples(len(data.test_set), EXAMPLES)
    for row, representation in {**encoders, **baselines}.items():
        with whereabouts.during(f"health of {row}"):
            vectors = _vectors(representation, data.test_set, chosen, device)
            figures = {name: figure.measure(vectors) for name, figure in FIGURES.items() if not figure.of_pairs}
        health[row] = {f"{metrics.HEALTH}/{name}": float(value) for name, value in figures.items()}
        kept[row] = vectors.cpu()
    own, shown = next(iter(encoders.values())), choose_shown(data.test_set)
    searched = fixed_order(len(data.train_set))[:SEARCHED]
    with whereabouts.during("nearest neighbours"):
        found = find_neighbours(
            shown,
            _vectors(own, data.test_set, shown, device),
            _vectors(own, data.train_set, searched, device),
            searched,
        )
    return Unlabelled(health, kept, found)


def write_unlabelled(directory: Path, result: Result, found: Unlabelled, data: DataModule, reason: str) -> None:
    """Writes results.json, features.npz, the map and the neighbours, and prints the health of every row.

    Args:
        directory: folder of the run; exists.
        result: result of the evaluation, without rows.
        found: what came of it.
        data: set up.
        reason: why nothing is classified, as a clause.
    """
    write_result(directory, result)
    figures = directory / files.FIGURES
    figures.mkdir(exist_ok=True)
    with whereabouts.during("maps of the features"):
        maps = {row: map_features(vectors) for row, vectors in found.kept.items()}
        draw_plain_maps(maps, figures / files.FEATURE_MAP)
    own = next(iter(found.kept))
    labels = torch.full((len(found.kept[own]),), UNLABELLED)
    save_features(directory / files.FEATURES, Features(found.kept[own], labels), data.test_set, maps[own], [])
    draw_neighbours(found.neighbours, data, figures / files.NEIGHBOURS)
    write_neighbours(found.neighbours, data, directory / files.NEIGHBOURS_IN_WORDS)
    _print_health(result, found.health)
    if result.word_similarity:
        print_word_similarity(result)
    if result.retrieval:
        print_retrieval(result)
    if result.translation:
        print_translation(result)
    remark = f"There is no accuracy to measure: {reason}."
    for sentence in (*result.remarks, remark):
        Console(soft_wrap=True).print(sentence, highlight=False, markup=False)
    Console(soft_wrap=True).print(
        f"Results: {directory / files.RESULTS}   Pictures: {figures}   Neighbours: "
        f"{directory / files.NEIGHBOURS_IN_WORDS}",
        highlight=False,
    )


def _print_health(result: Result, health: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(health.values())))
    columns = [Column("representation", number=False)]
    columns += [Column(name.removeprefix(f"{metrics.HEALTH}/")) for name in names]
    rows = [Row([row, *(f"{figures[name]:.3g}" for name in names)]) for row, figures in health.items()]
    meanings = "; ".join(f"{name}: {figure.meaning}" for name, figure in FIGURES.items() if not figure.of_pairs)
    print_table(f"{title(result)}: health on test {result.modality} data", meanings, columns, rows)


def _vectors(representation: Representation, part: object, chosen: Tensor, device: torch.device) -> Tensor:
    subset: Subset = Subset(part, chosen.tolist())  # type: ignore[arg-type]  # of examples, which torch calls a data set
    return extract(lambda batch: representation.extract(batch, False).pooled, subset, device).vectors
