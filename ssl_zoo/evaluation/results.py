"""What an evaluation leaves behind: results.json, features.npz, figures, and tables in the terminal."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from ssl_zoo.data.base import DataModule
from ssl_zoo.evaluation.figures import draw_feature_maps, draw_label_efficiency, draw_layer_weights, map_features
from ssl_zoo.evaluation.kept_features import save_features
from ssl_zoo.evaluation.tables import print_layers, print_table, print_tasks, title
from ssl_zoo.probes.features import Features


def save_record(directory: Path, record: dict[str, Any]) -> None:
    """Writes results.json in one go, so that no interruption leaves half of it.

    Args:
        directory: of the run; exists.
        record: what results.json is to hold.
    """
    draft = directory / "results.json.new"
    draft.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(draft, directory / "results.json")


def write_results(directory: Path, record: dict[str, Any], kept: dict[str, Features], data: DataModule) -> None:
    """Writes results.json, features.npz and the figures, and prints the tables.

    Args:
        directory: of the run; exists.
        record: what results.json is to hold.
        kept: of every row that has features, the run's own first, those of the chosen test examples.
        data: set up.
    """
    save_record(directory, record)
    results = record["rows"]
    figures = directory / "figures"
    figures.mkdir(exist_ok=True)
    if results:
        print_table(record)
    if "layers" in record:
        print_layers(record)
    if "tasks" in record:
        print_tasks(record)
    if results:
        draw_label_efficiency(results, figures / "label_efficiency.png", title=title(record))
        maps = {row: map_features(features.vectors) for row, features in kept.items()}
        own = next(iter(kept))
        save_features(directory / "features.npz", kept[own], data.test_set, maps[own], data.classes)
        labels = kept[own].labels
        assert labels is not None
        draw_feature_maps(maps, labels, results, data.classes, figures / "feature_map.png")
    if "tasks" in record:
        draw_layer_weights(record["tasks"], figures / "layer_weights.png", title=title(record))
    Console(soft_wrap=True).print(f"Results: {directory / 'results.json'}   Pictures: {figures}", highlight=False)
