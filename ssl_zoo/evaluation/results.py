"""What an evaluation leaves behind: results.json, features.npz, figures, and tables in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console

from ssl_zoo.data.base import DataModule
from ssl_zoo.evaluation.figures import map_features
from ssl_zoo.evaluation.kept_features import save_features
from ssl_zoo.evaluation.pictures import PICTURES, Shown
from ssl_zoo.evaluation.rows import Evaluated
from ssl_zoo.evaluation.tables import print_layers, print_retrieval, print_table, print_tasks, print_word_similarity
from ssl_zoo.probes.features import Features
from ssl_zoo.runs import files
from ssl_zoo.runs.result_file import write_result
from ssl_zoo.runs.results import Parts, Result
from ssl_zoo.whereabouts import whereabouts


def parts_of(data: DataModule) -> Parts:
    """What results.json says of data that is set up."""
    return Parts(
        data.source_name,
        data.identity,
        data.split_hash,
        len(data.train_set),
        len(data.validation_set),
        len(data.test_set),
    )


def found_by(evaluated: Evaluated) -> dict[str, Any]:
    """What a `Result` has of an evaluation, by name."""
    return {
        "rows": evaluated.results,
        "tasks": evaluated.tasks,
        "task_sizes": evaluated.task_sizes,
        "layers": evaluated.layers,
        "main_task": evaluated.main_task,
        "meanings": evaluated.meanings,
    }


def write_results(directory: Path, result: Result, kept: dict[str, Features], data: DataModule) -> None:
    """Writes results.json, features.npz and the figures, and prints the tables.

    Args:
        directory: folder of the run; exists.
        result: result of the evaluation.
        kept: what was kept of every row that has features, the run's own first, those of the chosen test examples.
        data: set up.
    """
    write_result(directory, result)
    figures = directory / files.FIGURES
    figures.mkdir(exist_ok=True)
    if result.rows:
        print_table(result)
    if result.layers:
        print_layers(result)
    if result.tasks:
        print_tasks(result)
    if result.word_similarity:
        print_word_similarity(result)
    if result.retrieval:
        print_retrieval(result)
    with whereabouts.during("maps of the features"):
        maps = {row: map_features(features.vectors) for row, features in kept.items()}
    if kept:
        own = next(iter(kept))
        save_features(directory / files.FEATURES, kept[own], data.test_set, maps[own], data.classes)
    for name, draw in PICTURES.items():
        draw(Shown(result, kept, maps, data.classes), figures / f"{name}.png")
    Console(soft_wrap=True).print(f"Results: {directory / files.RESULTS}   Pictures: {figures}", highlight=False)
