"""Offline evaluation: what is the frozen encoder of a run worth, next to the floors and the ceiling?"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.data.audio import AudioData
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.text import TextData
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.features import Features, extract, raw_inputs, to_device
from ssl_zoo.evaluation.knn import knn_predict
from ssl_zoo.evaluation.linear import fit_linear
from ssl_zoo.methods.base import Method
from ssl_zoo.probing.bag_of_words import classify_words, count_words
from ssl_zoo.probing.figures import draw_feature_maps, draw_label_efficiency, draw_layer_weights, map_features
from ssl_zoo.probing.flops import training_flops
from ssl_zoo.probing.kept_features import save_features
from ssl_zoo.probing.logged import last_values, read_metrics
from ssl_zoo.probing.run import Run, load_run, rebuild
from ssl_zoo.probing.speech import has_tasks, listen_with, probe_beside_log_mel
from ssl_zoo.probing.supervised import train_supervised
from ssl_zoo.probing.tables import print_table, print_tasks, title

# Raised whenever a change makes numbers incomparable with those of earlier runs.
PROTOCOL = 2
# Enough for batch norm and negatives; the cost per example hardly depends on it.
FLOPS_BATCH = 32

UNTRAINED = "untrained encoder"

Splits = dict[str, Features]
Row = dict[str, dict[str, dict[str, Any]]]  # by probe and by labels per class


# The lists are never changed, and as defaults in the signature they are what --help shows.
def probe(run: Path, labels_per_class: list[int] = [1, 5, 10], draws: int = 10, ceiling: bool = True) -> None:  # noqa: B006
    """Judges the frozen encoder of a run's last checkpoint on test data.

    Fits a kNN and a linear probe (its regularisation chosen on validation data) with few labels and with all, on the
    run's representations and on the floors: the same encoder untrained, and raw pixels, a text's words in no order, or
    what a recording's log-mel spectrogram is on average. Speech with further labels (words, phones) is also judged by
    probes that weigh the encoder's layers. Prints the tables, and writes results.json, features.npz (of the first test
    examples) and pictures in figures/ into the run directory.

    Args:
        run: the run directory, runs/<experiment>/<time>-<id>.
        labels_per_class: labels per class to try, besides all.
        draws: random choices of the labelled examples to average over, the same for every row.
        ceiling: also train the same encoder with all labels for as many steps, the supervised ceiling.
    """
    if draws < 1 or any(labels < 1 for labels in labels_per_class):
        raise InputError("probe: draws and labels_per_class must be at least 1.")
    loaded = load_run(run)
    classes = count_classes(loaded.data, f"the run {run}")
    name = type(loaded.method).__name__
    splits, tasks = _extract_rows(loaded, name)
    results: dict[str, Row] = {}
    if classes:
        results = {row: probe_features(features, classes, labels_per_class, draws) for row, features in splits.items()}
    if isinstance(loaded.data, TextData):
        results["tf-idf"] = probe_words(loaded.data, labels_per_class, draws)
    if ceiling and classes:
        accuracy = _ceiling(loaded, classes)
        results["supervised"] = {"linear": {"all": {"mean": accuracy, "std": 0.0, "draws": [accuracy]}}}
    record = {**_describe(loaded, name), "rows": results, **tasks}
    # The results first: what follows is nice to have, and must not cost them.
    save_record(run, record)
    record["budget"]["flops"] = _flops(loaded, record["budget"]["samples"])
    write_results(run, record, splits, loaded.data)


def save_record(directory: Path, record: dict[str, Any]) -> None:
    """Writes results.json in one go, so that no interruption leaves half of it.

    Args:
        directory: of the run; exists.
        record: what results.json is to hold.
    """
    draft = directory / "results.json.new"
    draft.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(draft, directory / "results.json")


def write_results(directory: Path, record: dict[str, Any], splits: dict[str, Splits], data: DataModule) -> None:
    """Writes results.json, features.npz and the figures, and prints the tables.

    Args:
        directory: of the run; exists.
        record: what results.json is to hold.
        splits: the features of every row that has some, the run's own first.
        data: set up.
    """
    results, name = record["rows"], next(iter(splits))
    save_record(directory, record)
    figures = directory / "figures"
    figures.mkdir(exist_ok=True)
    if results:
        maps = {row: map_features(features["test"]) for row, features in splits.items()}
        test = splits[name]["test"]
        assert test.labels is not None
        save_features(directory / "features.npz", test, data.test_set, maps[name], data.classes)
        draw_label_efficiency(results, figures / "label_efficiency.png", title=title(record))
        draw_feature_maps(maps, test.labels, results, data.classes, figures / "feature_map.png")
        print_table(record)
    if "tasks" in record:
        draw_layer_weights(record["tasks"], figures / "layer_weights.png", title=title(record))
        print_tasks(record)
    Console(soft_wrap=True).print(f"Results: {directory / 'results.json'}   Pictures: {figures}", highlight=False)


def count_classes(data: DataModule, owner: str) -> int:
    """Number of classes of labelled data; 0 where only tasks of speech have labels.

    Args:
        data: set up.
        owner: whose data it is, for messages.

    Raises:
        InputError: there are no labels, or a part is empty.
    """
    parts = (data.train_set, data.validation_set, data.test_set)
    labels = [part.labels for part in parts if part.labels is not None]
    if len(labels) < len(parts) and not has_tasks(data):
        raise InputError(f"The data of {owner} has no labels, so there is nothing to probe for.")
    if min(len(part) for part in parts) == 0:
        raise InputError(f"The data of {owner} lacks a validation or test part to judge probes on.")
    return int(max(part.max() for part in labels)) + 1 if len(labels) == len(parts) else 0


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _extract_rows(run: Run, name: str) -> tuple[dict[str, Splits], dict[str, Any]]:
    """Every row's features of every split, each computed once, and for speech what its tasks add to results.json."""
    device = best_device()
    trained = run.method.to(device)
    # In evaluation mode, so that batch norm does nothing yet: with statistics of the data the floor is far lower.
    untrained = rebuild(run.checkpoint).to(device).eval()
    if isinstance(run.data, AudioData):
        listeners = {
            row: listen_with(method.encoder, method.represent, row)
            for row, method in ((name, trained), (UNTRAINED, untrained))
        }
        return probe_beside_log_mel(run.data, listeners, device)
    parts = {"train": run.data.train_set, "validation": run.data.validation_set, "test": run.data.test_set}

    def features(represent: Any) -> Splits:
        return {part: extract(represent, data, device) for part, data in parts.items()}

    rows = {name: features(trained.represent), UNTRAINED: features(untrained.represent)}
    if run.method.encoder.modality == "image":
        rows["raw inputs"] = features(raw_inputs)
    return rows, {}


def probe_features(features: Splits, classes: int, labels_per_class: list[int], draws: int) -> Row:
    """Accuracies of kNN and linear probe on one row's features; `_over_draws` says of what."""
    train, validation, test = features["train"], features["validation"], features["test"]
    assert train.labels is not None and validation.labels is not None and test.labels is not None
    known, held = train.labels, (validation.vectors, validation.labels)

    def predict(chosen: Tensor) -> dict[str, Tensor]:
        vectors, labels = train.vectors[chosen], known[chosen]
        linear = fit_linear(vectors, labels, held, classes)
        return {"linear": linear.predict(test.vectors), "knn": knn_predict(test.vectors, vectors, labels)}

    return _over_draws(predict, known, test.labels, labels_per_class, draws)


def probe_words(data: TextData, labels_per_class: list[int], draws: int) -> Row:
    """Accuracies of a text's words in no order."""
    parts = (data.train_set, data.validation_set, data.test_set)
    train, validation, test = (count_words(part, data.vocabulary) for part in parts)

    def predict(chosen: Tensor) -> dict[str, Tensor]:
        return {"linear": classify_words(train.choose(chosen), validation, test)}

    return _over_draws(predict, train.labels, test.labels, labels_per_class, draws)


def _over_draws(
    predict: Callable[[Tensor], dict[str, Tensor]],
    known: Tensor,
    wanted: Tensor,
    labels_per_class: list[int],
    draws: int,
) -> Row:
    """The accuracy of every probe for every number of labels.

    Args:
        predict: gives every probe's classes of the test examples, fitted on the training examples at some positions.
        known: ``(N,)`` labels of the training examples.
        wanted: ``(M,)`` labels of the test examples.
        labels_per_class: numbers of labels to try, besides all.
        draws: random choices of the labelled examples.
    """
    results: Row = {}
    for labels in [*sorted(labels_per_class), None]:
        found: dict[str, list[float]] = {}
        for draw in range(draws if labels else 1):
            for kind, predicted in predict(draw_labelled(known, labels, draw)).items():
                found.setdefault(kind, []).append(_accuracy(predicted, wanted))
        for kind, accuracies in found.items():
            mean = sum(accuracies) / len(accuracies)
            variance = sum((accuracy - mean) ** 2 for accuracy in accuracies) / max(1, len(accuracies) - 1)
            summary = {"mean": mean, "std": math.sqrt(variance), "draws": accuracies}
            results.setdefault(kind, {})[str(labels or "all")] = summary
    return results


def draw_labelled(labels: Tensor, per_class: int | None, draw: int) -> Tensor:
    """Positions of the labelled examples: a random choice of `per_class` from every class.

    Args:
        labels: ``(N,)`` int64.
        per_class: how many; fewer from a class that has fewer; None takes all examples.
        draw: number of the choice. The same number gives the same choice, whatever features it is used on.

    Returns:
        int64 positions, class by class.
    """
    if per_class is None:
        return torch.arange(len(labels), device=labels.device)
    generator = torch.Generator().manual_seed(draw)
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    shuffled = labels[order]
    return torch.cat([order[shuffled == label][:per_class] for label in shuffled.unique()])


def _accuracy(predicted: Tensor, labels: Tensor) -> float:
    return float((predicted == labels).float().mean())


def _ceiling(run: Run, classes: int) -> float:
    steps = int(run.checkpoint["global_step"])
    method = rebuild(run.checkpoint)
    module = train_supervised(method, run.data, classes, steps, precision=_precision(run.directory))
    module.to(best_device())
    logits = extract(module, run.data.test_set, best_device())
    assert logits.labels is not None
    return _accuracy(logits.vectors.argmax(1), logits.labels)


def _precision(run: Path) -> Any:
    """The precision that the run was trained in."""
    return _config(run).get("trainer", {}).get("precision", "32-true")


def _config(run: Path) -> dict[str, Any]:
    """The settings of a run; empty where it was started without the command line."""
    import yaml

    path = run / "config.yaml"
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def _describe(run: Run, name: str) -> dict[str, Any]:
    cost = run.checkpoint["callbacks"].get(Throughput.__qualname__, {"samples": 0, "seconds": 0.0})
    method: Method = run.method
    logged = run.directory / "metrics.csv"
    return {
        "protocol": PROTOCOL,
        "run": run.directory.name,
        "experiment": run.directory.parent.name,
        "method": name,
        "encoder": type(method.encoder).__name__,
        "modality": method.encoder.modality,
        "seed": _config(run.directory).get("seed_everything"),
        "parameters": sum(p.numel() for p in method.encoder.parameters()),
        "data": {
            "source": run.data.source_name,
            "split": run.data.split_hash,
            "train": len(run.data.train_set),
            "validation": len(run.data.validation_set),
            "test": len(run.data.test_set),
        },
        "budget": {"steps": int(run.checkpoint["global_step"]), **cost, "flops": None},
        "chance_loss": method.chance_loss(run.data.batch_size),
        "health": last_values(read_metrics(logged), f"{metrics.HEALTH}/") if logged.is_file() else {},
    }


def _flops(run: Run, samples: int) -> float | None:
    """Of the whole training, from what its first examples cost an untrained copy of the method."""
    examples = run.data.as_validated(run.data.pretrain_set)  # cut as long as training has them
    count = min(FLOPS_BATCH, run.data.batch_size, len(examples))
    batch = to_device(examples.__getitems__(list(range(count))), best_device())
    each = training_flops(rebuild(run.checkpoint).to(best_device()), batch)
    return None if each is None else each * samples
