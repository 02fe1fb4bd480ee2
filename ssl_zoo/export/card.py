"""The model card: what an exported encoder is, what it was trained on and at what cost, and how to load it."""

import inspect
import re
from pathlib import Path
from typing import Any

import yaml

from ssl_zoo import __version__
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.export.loading import Loading
from ssl_zoo.runs.results import ALL, KNN, LINEAR, WITHOUT_LABELS, Result
from ssl_zoo.runs.run import Run

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def write_card(run: Run, loadings: list[Loading], licence: str | None, folder: Path) -> None:
    """Writes README.md, with the front matter that the Hugging Face Hub reads.

    Args:
        run: the exported one; its results.json is quoted when it has one.
        loadings: ways to load what lies in the folder.
        licence: licence of the weights, by its name on the Hub; None leaves the field out.
        folder: exists.

    Raises:
        InputError: the run's results.json cannot be read.
    """
    results = run.results
    method, encoder = type(run.method).__name__, type(run.method.encoder).__name__
    title = f"{method} {encoder} on {run.data.source_name}"
    sections = [
        f"# {title}",
        _summary(run),
        f"## Method\n\n{_method(run.method)}",
        f"## Data\n\n{_data(run.data)}",
        f"## Budget\n\n{_budget(run)}",
        f"## Results\n\n{_results(results)}",
        "## How to load",
        *(f"### With {each.title}\n\n{each.text}\n\n```python\n{each.code.rstrip()}\n```" for each in loadings),
        f"## Limits\n\n{_limits(run, results)}",
    ]
    header = yaml.safe_dump(_front_matter(run, title, results, licence, loadings), sort_keys=False, allow_unicode=True)
    (folder / "README.md").write_text(f"---\n{header}---\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")


def _own_figures(results: Result) -> dict[str, float]:
    """What the run itself has reached, by the probe's name; first rows are its own, then baselines and the ceiling."""
    figures = {}
    if results.rows:
        own = results.rows[results.own_row]
        figures = {"linear probe, all labels": own[LINEAR][ALL].mean}
        if KNN in own:
            figures["kNN probe, all labels"] = own[KNN][ALL].mean
    for task, rows in results.tasks.items():
        figures[f"linear probe on weighted layers, {task}"] = next(iter(rows.values())).accuracy
    return figures


def _front_matter(
    run: Run, title: str, results: Result | None, licence: str | None, loadings: list[Loading]
) -> dict[str, Any]:
    modality, libraries = run.data.modality, {each.title for each in loadings}
    header: dict[str, Any] = {
        **({"license": licence} if licence else {}),
        "library_name": "transformers" if "transformers" in libraries else "pytorch",
        "pipeline_tag": run.data.hub_task,
        "tags": ["self-supervised-learning", modality, type(run.method).__name__.lower(), "ssl_zoo"],
    }
    if results is not None:
        metrics = [
            {"type": "accuracy", "name": name, "value": round(100 * figure, 2)}
            for name, figure in _own_figures(results).items()
        ]
        source = run.data.source_name
        found = {
            "task": {"type": f"{modality}-classification"},
            "dataset": {"name": source, "type": re.sub(r"\W+", "-", source.lower())},
            "metrics": metrics,
        }
        header["model-index"] = [{"name": title, "results": [found]}]
    return header


def _summary(run: Run) -> str:
    encoder = run.method.encoder
    parameters = sum(each.numel() for each in encoder.parameters())
    return (
        f"The encoder `{type(encoder).__name__}`, {parameters:,} parameters, pretrained without labels by "
        f"{type(run.method).__name__} on {run.data.source_name}. It turns "
        f"{run.data.describe_inputs()} into vectors of {encoder.dim} numbers. Written by ssl_zoo "
        f"{__version__} from the run `{run.directory.parent.name}/{run.directory.name}`."
    )


def _method(method: Any) -> str:
    described = inspect.getdoc(type(method)) or "Not described."
    first = " ".join(described.split("\n\n")[0].split())
    return _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", first)


def _data(data: Any) -> str:
    source = getattr(data, "source", None)
    described = inspect.getdoc(type(source)) if source is not None else None
    about = " ".join(described.split("\n\nArgs:")[0].split()) + "\n\n" if described else ""
    licence = getattr(source, "licence", "not stated")
    split = data.split_record()
    if split is None:
        return f"{about}Licence of the data: {licence}. How it was split is not known."
    parts = (("training", split["train"]), ("validation", split["validation"]), ("test", split["test"]))
    counts = ", ".join(f"{count:,} {name}" for name, count in parts)
    more = split.get("pretrain", split["train"]) - split["train"]
    used = "rows packed from the training part and what has no labels"
    if data.modality != "text":
        used = f"the training part and the {data.noun} without a label ({more:,})"
    seen = f" Pretraining used {used}." if more else ""
    return f"{about}Licence of the data: {licence}. Split `{split['hash']}`: {counts} examples.{seen}"


def _budget(run: Run) -> str:
    cost = run.checkpoint["callbacks"].get(Throughput.__qualname__, {})
    hardware = cost.get("hardware") or "hardware that was not recorded"
    steps, samples, seconds = int(run.checkpoint["global_step"]), cost.get("samples"), cost.get("seconds")
    if samples is None or seconds is None:
        return f"{steps:,} steps; what they cost was not recorded."
    return f"{steps:,} steps, {samples:,} examples seen, {seconds:,.0f} seconds of training on {hardware}."


def _results(results: Result | None) -> str:
    if results is None:
        return "This run has not been probed: `ssl-zoo probe --run RUN` evaluates it."
    if results.main_task == WITHOUT_LABELS:
        figures = ", ".join(f"{name.rpartition('/')[2]} {value:.3g}" for name, value in results.health.items())
        return f"Evaluated without labels. Health of the features on held-out data: {figures}."
    protocol, tables = f"(protocol {results.protocol})", []
    if results.rows:
        columns = list(results.rows[results.own_row][LINEAR])
        lines = [
            f"Test accuracy in % of probes on the frozen encoder, by labels per class {protocol}.\n",
            f"| representation | probe | {' | '.join(columns)} |",
            f"|---|---|{'---|' * len(columns)}",
        ]
        for name, probes in results.rows.items():
            for kind, found in probes.items():
                cells = [f"{100 * found[column].mean:.1f}" if column in found else "" for column in columns]
                lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
                balanced = [found[column].balanced if column in found else None for column in columns]
                if any(balanced):
                    cells = ["" if each is None else f"{100 * each.mean:.1f}" for each in balanced]
                    lines.append(f"| {name} | {kind}, mean over classes | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    if results.tasks:
        lines = [
            f"Test accuracy in % of a linear probe on a weighted sum of the frozen encoder's layers {protocol}.\n",
            "| task | representation | accuracy |",
            "|---|---|---|",
        ]
        for task, rows in results.tasks.items():
            lines += [f"| {task} | {name} | {100 * score.accuracy:.1f} |" for name, score in rows.items()]
        tables.append("\n".join(lines))
    if results.layers:
        lines = [
            f"Test accuracy in % of a linear probe on every layer {protocol}; validation data chose the layer.\n",
            "| representation | last layer | chosen layer |",
            "|---|---|---|",
        ]
        for name, (_, test, chosen) in results.layers.items():
            lines.append(f"| {name} | {100 * test[-1]:.1f} | {100 * test[chosen]:.1f} (layer {chosen}) |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _limits(run: Run, results: Result | None) -> str:
    points = [
        f"It has seen nothing but {run.data.source_name}; its accuracy on other data has not been measured.",
        "It gives vectors, not classes: put a classifier on them or train it further.",
        "It was not examined for biases of its data, which it will have learnt.",
    ]
    if results is not None:
        points.append("The results are those of one run with one seed, by the probes named and no others.")
    return "\n".join(f"- {point}" for point in points)
