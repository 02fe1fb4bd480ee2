"""Run directories, found and read; whatever is missing or damaged in one is said and never stops the others."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ssl_zoo import metrics
from ssl_zoo.compare.results import Accuracies, FineTuning, as_probes, read_finetuning
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.kept_features import KeptFeatures, load_features
from ssl_zoo.runs.files import CONFIG, FEATURES, FINE_TUNED, METRICS, RESULTS
from ssl_zoo.runs.logged import Curve, last_values, read_metrics
from ssl_zoo.runs.named import check_folders_of_runs
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.runs.results import Result

# What a Trainer's settings change about the outcome; the others say where and how visibly it runs.
TRAINER = ("max_steps", "max_epochs", "max_time", "precision", "accumulate_grad_batches", "gradient_clip_val",
           "gradient_clip_algorithm", "limit_train_batches", "overfit_batches")  # fmt: skip
UNKNOWN = "the run is not ranked, as its settings are unknown"
# How the remark begins that a run was evaluated on a folder of its own, as --probe_data takes one.
ELSEWHERE = "Pretrained on "
# Settings that only `ssl-zoo validate`, `test` and `predict` have, which leave directories of their own.
NOT_TRAINING = ("verbose", "return_predictions")


class Remark(NamedTuple):
    """A sentence about a run: why it is not ranked, or, where it is, what it lacks or its numbers do not say."""

    run: str
    sentence: str
    ranked: bool


class RunRecord(NamedTuple):
    """A run that can be compared.

    Attributes:
        name: experiment and version, as in the run's path.
        directory: where it lies.
        result: result of the probes.
        seed: seed that the run was started with; None where unknown.
        settings: what makes it an experiment, besides the seed, by dotted name; None where no config.yaml is expected.
        curves: what it logged, by name.
        features: features of some test examples, or None.
        finetuning: results of fine-tuning by task.
        rows: accuracies by row and by probe, those of layers among them; the first row is the run's own.
    """

    name: str
    directory: Path
    result: Result
    seed: int | None
    settings: dict[str, Any] | None
    curves: dict[str, Curve]
    features: KeptFeatures | None
    finetuning: dict[str, FineTuning]
    rows: dict[str, dict[str, Accuracies]]


def find_runs(paths: list[Path]) -> list[Path]:
    """All run directories at and below `paths`, each once, in the order of their names.

    Raises:
        InputError: a path does not exist, or there is no run anywhere.
    """
    check_folders_of_runs(paths)
    found = set()
    for path in paths:
        for folder, below, files in os.walk(path.resolve()):
            if RESULTS in files or CONFIG in files:
                found.add(Path(folder))
                below.clear()  # W&B keeps a config.yaml too, deep inside a run
    if not found:
        given = ", ".join(map(str, paths))
        raise InputError(f"compare: no run in {given}: run directories hold a {CONFIG} or a {RESULTS}.")
    return sorted(found, key=lambda directory: (name_of(directory), directory))


def name_of(directory: Path) -> str:
    """Experiment and version: what a run is called wherever it lies."""
    return f"{directory.parent.name}/{directory.name}"


def date_of(directory: Path) -> str:
    """When a run was started, as its folder is called: `2026-01-31 17:05`; empty where it is called otherwise."""
    found = re.match(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d-", directory.name)
    return "{}-{}-{} {}:{}".format(*found.groups()) if found else ""


def read_run(directory: Path) -> tuple[RunRecord | None, list[Remark]]:
    """Reads a run directory.

    Returns:
        The run, None if it cannot be ranked, and remarks about what is missing or damaged. Both are empty for what
        `ssl-zoo test` and its like leave behind, which is no run.
    """
    name = name_of(directory)
    remarks: list[Remark] = []

    def attempt(read: Any, file: Path, consequence: str, ranked: bool = True) -> Any:
        try:
            return read(file)
        except FileNotFoundError:  # becomes a remark beside the ranking
            remarks.append(Remark(name, f"{file.name} is missing: {consequence}.", ranked))
        except (ValueError, OSError) as error:  # so does this
            remarks.append(Remark(name, f"{file.name} cannot be used, {error}: {consequence}.", ranked))
        return None

    config = None
    if (directory / CONFIG).exists():
        config = attempt(_read_config, directory / CONFIG, UNKNOWN, ranked=False)
        if config is None:
            return None, remarks
        if not (directory / RESULTS).exists() and any(setting in config for setting in NOT_TRAINING):
            return None, []
    unranked = "the run is not ranked; it is unfinished, or `ssl-zoo probe --run` has not evaluated it"
    if (directory / RESULTS).exists():
        unranked = "the run is not ranked; `ssl-zoo probe --run` evaluates it again"
    elif any(directory.glob(f"after-*-steps-{RESULTS}")):
        unranked = "the run is not ranked; it was trained further since, and `ssl-zoo probe --run` evaluates it again"
    result: Result | None = attempt(lambda path: read_result(path.parent), directory / RESULTS, unranked, ranked=False)
    if result is None:
        return None, remarks
    remarks += [Remark(name, sentence, True) for sentence in result.remarks]
    trained_here = result.budget.steps > 0  # an encoder that was published elsewhere has no settings and no curves
    if config is None and trained_here:
        attempt(_read_config, directory / CONFIG, UNKNOWN, ranked=False)
        return None, remarks
    curves: dict[str, Curve] = {}
    if trained_here:
        curves = attempt(read_metrics, directory / METRICS, "its loss curve is left out") or {}
    features = attempt(load_features, directory / FEATURES, "it has no feature map and no CKA")
    finetuning = {}
    for path in sorted(directory.glob(FINE_TUNED)):
        read = attempt(read_finetuning, path, "its fine-tuning is left out")
        if read is not None:
            finetuning[read.task] = read
    if not result.health:
        result = result._replace(health=last_values(curves, f"{metrics.HEALTH}/"))
    settings = None if config is None else _settings(config, result)
    seed = result.seed if config is None else _seed(config, result)
    return RunRecord(name, directory, result, seed, settings, curves, features, finetuning, as_probes(result)), remarks


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError("it is no YAML") from error
    parts = ("model", "data", "trainer")
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in parts):
        raise ValueError(f"it lacks one of {', '.join(parts)}")
    return config


def _seed(config: dict[str, Any], result: Result) -> int | None:
    seed = config.get("seed_everything", result.seed)
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def _settings(config: dict[str, Any], result: Result) -> dict[str, Any]:
    """What distinguishes one experiment from another, by dotted name.

    How many processes fetch the data changes nothing, nor does the number of devices, nor where the data lies: results
    say what it is. Of a run that was evaluated on other data than it was pretrained on, they say it of the former.
    """
    elsewhere = any(remark.startswith(ELSEWHERE) for remark in result.remarks)
    without = ("data.num_workers", *(() if elsewhere else ("data.source.root",)))
    trainer = {name: config["trainer"].get(name) for name in TRAINER}
    flat = _flatten({"model": config["model"], "data": config["data"], "trainer": trainer}, "")
    return {name: value for name, value in flat.items() if name not in without}


def _flatten(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    flat: dict[str, Any] = {}
    for key, below in value.items():
        within = name if key == "init_args" else f"{name}.{key}" if name else str(key)
        flat.update(_flatten(below, within))
    return flat
