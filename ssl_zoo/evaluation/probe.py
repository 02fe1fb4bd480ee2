"""Offline evaluation: how well does the frozen encoder of a run do, next to its baselines and its ceiling?"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from ssl_zoo import metrics
from ssl_zoo.callbacks.online_probe import OnlineProbe
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.probe_data import open_probe_data, require_same
from ssl_zoo.data.representations import Representation
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.weights import source_of
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.evaluate import Choices, Extraction, evaluate
from ssl_zoo.evaluation.extraction import representation_of
from ssl_zoo.evaluation.flops import training_flops
from ssl_zoo.evaluation.labelled import check_choices, count_classes, nothing_to_evaluate
from ssl_zoo.evaluation.results import found_by, parts_of, write_results
from ssl_zoo.evaluation.retrieval import retrievals
from ssl_zoo.evaluation.rows import Evaluated
from ssl_zoo.evaluation.supervised import train_supervised
from ssl_zoo.evaluation.tasks import has_tasks
from ssl_zoo.evaluation.translation import evaluate_translation
from ssl_zoo.evaluation.unlabelled import evaluate_unlabelled, write_unlabelled
from ssl_zoo.evaluation.word_similarity import MISSING, read_pairs, word_similarities
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.translation import Translation
from ssl_zoo.probes.accuracy import Score, scores, summarize
from ssl_zoo.probes.features import extract, to_device
from ssl_zoo.runs.files import CONFIG, METRICS
from ssl_zoo.runs.logged import last_values, read_metrics
from ssl_zoo.runs.result_file import write_result
from ssl_zoo.runs.results import (
    ALL,
    BEFORE,
    LINEAR,
    PROTOCOL,
    SUPERVISED,
    UNTRAINED,
    WITHOUT_LABELS,
    Budget,
    Result,
    Similarities,
    Translations,
)
from ssl_zoo.runs.run import Run, load_run, rebuild, rebuild_as_loaded
from ssl_zoo.whereabouts import duration, whereabouts

# Enough for batch norm and negatives; the cost per example hardly depends on it.
FLOPS_BATCH = 32


# The lists are never changed, and as defaults in the signature they are what --help shows.
def probe(
    run: Path,
    labels_per_class: list[int] = [1, 5, 10],  # noqa: B006  # never changed, and --help shows it
    draws: int = 10,
    ceiling: bool = True,
    layers: bool = True,
    allow_other_split: bool = False,
    root: Path | None = None,
    probe_data: Path | None = None,
) -> None:
    """Evaluates the frozen encoder of a run's last checkpoint on test data.

    Fits a kNN and a linear probe with few labels and with all, on the run's representations and on the baselines: the
    same encoder untrained, or before with the published weights that the run continued from; and raw pixels, a text's
    words in no order, or what a recording's log-mel spectrogram is on average. With few labels nothing beyond the
    labelled examples chooses anything; docs/evaluation.md has the protocol. Every layer has a linear probe, too. Data
    with further labels (words, phones) is also evaluated by probes that weigh the encoder's layers. Data without labels
    is evaluated by the health of the features, a map of them and the nearest neighbours of some examples. Prints the
    tables, and writes results.json, features.npz (of 1,000 test examples chosen at random once) and pictures in
    figures/ into the run directory.

    Args:
        run: the run directory, runs/<experiment>/<time>-<id>.
        labels_per_class: labels per class to try, besides all.
        draws: random choices of the labelled examples to average over, the same for every row.
        ceiling: also train the same encoder with all labels for as many steps, the supervised ceiling.
        layers: also probe every layer, of 10,000 examples of each part at most.
        allow_other_split: go on although the data is not split any more as it was while the run trained, so that the
            run may be tested on examples that it has seen.
        root: where the run's data lies now, where it was moved; short for --data.source.root.
        probe_data: folder with classes, of the same modality as the run's data, to evaluate on in place of it; the one
            that the run was started with when left out.
    """
    check_choices(labels_per_class, draws)
    loaded = load_run(run, allow_other_split, root)
    pretrained_on = loaded.data
    folder = probe_data or _config(run).get("probe_data")
    other = None if folder is None else open_probe_data(pretrained_on, Path(folder))
    if other is not None:
        probed = loaded.checkpoint["callbacks"].get(OnlineProbe.__qualname__, {}).get("probed_on")
        require_same(None if probe_data else probed, other.data, allow_other_split)
        loaded = loaded._replace(data=other.data)
    name = type(loaded.method).__name__
    device, start = best_device(), start_of(loaded)
    methods = {name: loaded.method, start.row: start.method}
    encoders = {row: representation_of(method.encoder, method.to(device).encode) for row, method in methods.items()}
    similarity, missing = _similarities({row: method.encoder for row, method in methods.items()}, loaded.data)
    beside: dict[str, Any] = {"word_similarity": similarity, "retrieval": retrievals(encoders, loaded.data, device)}
    remarks = [*start.remarks, *([] if other is None else other.remarks), *missing]
    reason = nothing_to_evaluate(loaded.data)
    if reason and not has_tasks(loaded.data):
        _without_labels(loaded, name, encoders, beside, remarks, reason)
        return
    classes = count_classes(loaded.data, f"the run {run}")
    choices = Choices(labels_per_class, draws, layers)
    evaluated = evaluate(loaded.data, encoders, classes, choices, Extraction(device))
    if classes and ceiling and not start.remarks:
        with whereabouts.during("supervised ceiling"):
            evaluated.results[SUPERVISED] = {LINEAR: {ALL: _ceiling(loaded, classes)}}
    if not evaluated.results and not evaluated.tasks:
        raise InputError(f"There is nothing to evaluate on the data of the run {run}: no task has two classes.")
    result = _describe(loaded, name, evaluated, remarks)._replace(**beside)
    # The results first: what follows is nice to have, and must not cost them.
    write_result(run, result)
    result = _with_flops(result, loaded._replace(data=pretrained_on))
    write_results(run, result, evaluated.kept, loaded.data)


def _similarities(encoders: dict[str, Encoder], data: DataModule) -> tuple[Similarities, list[str]]:
    """Of texts, how well vectors of words agree with people, and a sentence where that cannot be measured."""
    tokens = data.tokens()
    if tokens is None:
        return {}, []
    if not read_pairs():
        return {}, [MISSING]
    with whereabouts.during("word similarity"):
        return word_similarities(encoders, tokens)


def _without_labels(
    run: Run,
    name: str,
    encoders: dict[str, Representation],
    beside: dict[str, Any],
    before: list[str],
    reason: str,
) -> None:
    """Evaluates a run by what needs no labels; `beside` is what a `Result` has of it besides, by name."""
    if len(run.data.test_set) < 2:
        raise InputError(f"There is nothing to evaluate on the data of the run {run.directory}: {reason}.")
    found = evaluate_unlabelled(run.data, encoders, best_device())
    translated: tuple[Translations, list[str]] = {}, []
    if isinstance(run.method, Translation) and "target" in (run.data.test_set.__getitems__([0]).fields or {}):
        translated = evaluate_translation(run.method, run.data, run.directory)
    nothing = Evaluated({}, {}, {}, {}, [], WITHOUT_LABELS)
    result = _describe(run, name, nothing, [*before, *translated[1]])
    # What the log has is of validation data and of all processes; a short run may have logged nothing.
    health = found.health[name] | result.health
    result = result._replace(health=health, translation=translated[0], **beside)
    write_unlabelled(run.directory, _with_flops(result, run), found, run.data, reason)


def _with_flops(result: Result, run: Run) -> Result:
    with whereabouts.during("FLOPs of a training step"):
        flops = _flops(run, result.budget.samples)
    return result._replace(budget=result.budget._replace(flops=flops))


class Start(NamedTuple):
    """The method of a run as it was before training.

    Attributes:
        row: What its encoder's row is called.
        method: On the CPU, in evaluation mode.
        remarks: Sentences about published weights that cannot be had any more.
    """

    row: str
    method: Method
    remarks: list[str]


def start_of(run: Run) -> Start:
    """What a run began with: random weights, or the published ones that it continued from, read again.

    In evaluation mode, so that batch norm does nothing yet: with statistics of the data the baseline is far lower.
    """
    if run.method.continues_from is None:
        return Start(UNTRAINED, rebuild(run.checkpoint).eval(), [])
    try:
        return Start(BEFORE, rebuild_as_loaded(run.checkpoint).eval(), [])
    except InputError as error:  # becomes a remark beside the results
        lost = f"The encoder before training and the ceiling are left out, as what it was is lost: {error}"
        return Start(UNTRAINED, rebuild(run.checkpoint).eval(), [lost])


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _ceiling(run: Run, classes: int) -> Score:
    """Scores on test data of the same encoder trained with all labels, from the same weights."""
    steps = int(run.checkpoint["global_step"])
    took = run.checkpoint["callbacks"].get(Throughput.__qualname__, {}).get("seconds")
    like = f"as many as the run, which took {duration(took)}" if took else "as many as the run"
    whereabouts.say(
        f"Supervised ceiling: the same encoder is now trained with all labels for {steps:,} steps, {like}; "
        "--ceiling false (--probe.ceiling false of fit) leaves it out."
    )
    method = start_of(run).method.train()
    module = train_supervised(method, run.data, classes, steps, precision=_precision(run.directory))
    module.to(best_device())
    logits = extract(module, run.data.test_set, best_device())
    assert logits.labels is not None
    return summarize([scores(logits.vectors.argmax(1), logits.labels)])


def _precision(run: Path) -> Any:
    """The precision that the run was trained in."""
    return _config(run).get("trainer", {}).get("precision", "32-true")


def _config(run: Path) -> dict[str, Any]:
    """The settings of a run; empty where it was started without the command line."""
    import yaml

    path = run / CONFIG
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _describe(run: Run, name: str, evaluated: Evaluated, before: list[str]) -> Result:
    cost = run.checkpoint["callbacks"].get(Throughput.__qualname__, {})
    method, data = run.method, run.data
    health, damage = _logged_health(run.directory / METRICS)
    split = [] if data.split_remark is None else [data.split_remark]
    tokens = source_of(method.encoder.settings["init_args"].get("token_vectors"))
    begun = [] if tokens is None else [f"Before training the encoder's token vectors were those of the run {tokens}."]
    return Result(
        protocol=PROTOCOL,
        run=run.directory.name,
        experiment=run.directory.parent.name,
        method=name,
        encoder=type(method.encoder).__name__,
        modality=method.encoder.modality,
        seed=_config(run.directory).get("seed_everything"),
        pretrained=method.continues_from or "",
        parameters=sum(p.numel() for p in method.encoder.parameters()),
        data=parts_of(data),
        budget=Budget(int(run.checkpoint["global_step"]), **cost),
        chance_loss=method.chance_loss(data.batch_size),
        health=health,
        remarks=[*split, *begun, *before, *evaluated.remarks, *damage],
        **found_by(evaluated),
    )


def _logged_health(path: Path) -> tuple[dict[str, float], list[str]]:
    """The last health figures of a run's log, and what is wrong with it: no reason to withhold the evaluation."""
    if not path.is_file():
        return {}, []
    try:
        return last_values(read_metrics(path), f"{metrics.HEALTH}/"), []
    except (OSError, ValueError) as error:  # becomes a remark beside the results
        return {}, [f"{path} is damaged ({error}), so the health figures are left out."]


def _flops(run: Run, samples: int) -> float | None:
    """Of the whole training, from what its first examples cost an untrained copy of the method."""
    examples = run.data.as_validated(run.data.pretrain_set)  # cut as long as training has them
    count = min(FLOPS_BATCH, run.data.batch_size, len(examples))
    batch = to_device(examples.__getitems__(list(range(count))), best_device())
    each = training_flops(rebuild(run.checkpoint).to(best_device()), batch)
    return None if each is None else each * samples
