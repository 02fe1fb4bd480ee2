"""The rows of results.json: one representation after the other, extracted, evaluated and freed."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ssl_zoo.data.base import DataModule
from ssl_zoo.evaluation.bag_of_words import classify_words, count_words
from ssl_zoo.evaluation.kept_features import EXAMPLES
from ssl_zoo.probes.accuracy import Prediction, Results, over_draws
from ssl_zoo.probes.features import Features, choose_examples
from ssl_zoo.probes.knn import choose_vote, knn_predict
from ssl_zoo.probes.linear import center_and_scale, fit_linear
from ssl_zoo.runs.results import LayerScores, Rows, Tasks
from ssl_zoo.tasks.labels import CLASSES
from ssl_zoo.vocabulary import Vocabulary
from ssl_zoo.whereabouts import whereabouts

Splits = dict[str, Features]  # by part: train, validation and test


class Extracted(NamedTuple):
    """What one representation makes of the data.

    Attributes:
        splits: pooled features of every part.
        tasks: besides the classes, evaluated on all layers: what was found, by task and by row of its table.
        layers: what every layer reaches on the classes; None where there are no layers or nobody asks for them.
    """

    splits: Splits
    tasks: Tasks
    layers: LayerScores | None = None


Extracting = dict[
    str, Callable[[], Extracted]
]  # what a row is called, and what extracts its features when its turn comes


class Evaluated(NamedTuple):
    """What came of all rows.

    Attributes:
        results: results by row.
        tasks: accuracies by task besides the classes and by row.
        layers: what every layer reaches, by row.
        kept: features of the test examples that maps show and runs keep, by row, on the CPU.
        remarks: sentences about rows whose numbers do not mean what they seem to.
        main_task: the one that says most of a representation.
        task_sizes: how many classes, and labels in every part, a task has.
        meanings: what the baselines are, by row.
    """

    results: Rows
    tasks: Tasks
    layers: dict[str, LayerScores]
    kept: dict[str, Features]
    remarks: list[str]
    main_task: str = CLASSES
    task_sizes: dict[str, dict[str, int]] = {}  # noqa: RUF012  # a tuple's default, and never changed
    meanings: dict[str, str] = {}  # noqa: RUF012  # a tuple's default, and never changed


def evaluate_rows(rows: Extracting, classes: int, labels_per_class: list[int], draws: int) -> Evaluated:
    """Extracts and evaluates one row after the other; the features of one are freed before the next has any.

    Args:
        rows: rows in the order of the table, the run's own first.
        classes: number of classes; 0 where only other tasks have labels.
        labels_per_class: numbers of labels to try, besides all.
        draws: random choices of the labelled examples.
    """
    evaluated = Evaluated({}, {}, {}, {}, [])
    for row, extract_row in rows.items():
        with whereabouts.during(f"probes of {row}"):
            _evaluate(evaluated, row, extract_row(), classes, labels_per_class, draws)
    return evaluated


def _evaluate(
    evaluated: Evaluated, row: str, extracted: Extracted, classes: int, labels_per_class: list[int], draws: int
) -> None:
    for task, by_row in extracted.tasks.items():
        evaluated.tasks.setdefault(task, {}).update(by_row)
    if extracted.layers is not None:
        evaluated.layers[row] = extracted.layers
    if not classes:
        return
    test = extracted.splits["test"]
    evaluated.results[row] = probe_features(extracted.splits, classes, labels_per_class, draws)
    chosen = choose_examples(len(test.vectors), EXAMPLES).to(test.vectors.device)
    assert test.labels is not None
    evaluated.kept[row] = Features(test.vectors[chosen].cpu(), test.labels[chosen].cpu())
    if center_and_scale(extracted.splits["train"].vectors)[1].isinf():
        # Of the run's own, which stand first, training has made them so; of a baseline, the data or chance has.
        collapsed = "it has collapsed, and " if len(evaluated.results) == 1 else ""
        evaluated.remarks.append(
            f"The features of {row} are the same for all examples: {collapsed}its accuracies are chance."
        )


def probe_features(features: Splits, classes: int, labels_per_class: list[int], draws: int) -> Results:
    """Scores of the linear probe and of the kNN on one row's features.

    With few labels nothing beyond the labelled examples chooses anything; with all of them the validation part does.
    """
    train, validation, test = features["train"], features["validation"], features["test"]
    assert train.labels is not None and validation.labels is not None and test.labels is not None
    known, held = train.labels, (validation.vectors, validation.labels)

    def predict(chosen: Tensor, everything: bool) -> dict[str, Prediction]:
        # All of them are not copied.
        vectors, labels = (train.vectors, known) if everything else (train.vectors[chosen], known[chosen])
        chooses = held if everything else None
        linear, penalty = fit_linear(vectors, labels, classes, chooses)
        vote = choose_vote(vectors, labels, chooses)
        return {
            "linear": Prediction(linear.predict(test.vectors), {"penalty": penalty}),
            "knn": Prediction(knn_predict(test.vectors, vectors, labels, *vote), vote._asdict()),
        }

    return over_draws(predict, known, test.labels, labels_per_class, draws)


def probe_words(data: DataModule, vocabulary: Vocabulary, labels_per_class: list[int], draws: int) -> Results:
    """Scores of a text's words in no order, by the principle of `probe_features`."""
    train, validation, test = (count_words(part, vocabulary) for part in data.parts().values())

    def predict(chosen: Tensor, everything: bool) -> dict[str, Prediction]:
        return {"linear": classify_words(train.choose(chosen), test, validation if everything else None)}

    return over_draws(predict, train.labels, test.labels, labels_per_class, draws)
