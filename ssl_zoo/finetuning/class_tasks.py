"""Tasks with one class per example: the classes of a run's own data, and how two texts relate."""

import torch
from torch import Tensor

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.labelled import remarks_on_labels
from ssl_zoo.finetuning.records import Pair, Records
from ssl_zoo.finetuning.tasks import Task, draw_test
from ssl_zoo.finetuning.tokens import Tokenized, TokenizedExamples, split_texts, wrap_pair
from ssl_zoo.probes.accuracy import draw_labelled, is_informative, scores
from ssl_zoo.tasks.examples import TaskBatch, TaskExamples
from ssl_zoo.tasks.heads import ClassHead
from ssl_zoo.tasks.labels import UNKNOWN, ExampleLabels, known_labels


class ClassTask(Task):
    """One class per example.

    Args:
        data: what the data is called.
        split: equal for two tasks exactly when they train and test on the same examples.
        train: all training examples.
        test: the examples to be evaluated on.
        labels: int64 labels of both.
    """

    counted = "labels per class"

    def __init__(
        self,
        data: str,
        split: str,
        train: TaskExamples,
        test: TaskExamples,
        labels: tuple[Tensor, Tensor],
    ) -> None:
        self.data, self.split, self.train, self.test = data, split, train, test
        self.train_labels, self.test_labels = labels
        self.classes = int(torch.cat(labels).max()) + 1

    def new_head(self, encoder: Encoder) -> ClassHead:
        """As in `Task`."""
        return ClassHead(encoder.dim, self.classes)

    def draw(self, number: int | None, draw: int) -> Tensor:
        """The same choice as the probes'; fewer from a class that has fewer."""
        return draw_labelled(self.train_labels, number, draw)

    def score(self, answers: list[list[int]]) -> dict[str, float]:
        """Accuracy, and where classes differ in size balanced accuracy."""
        found = scores(torch.tensor(answers)[:, 0], self.test_labels)
        balanced = {"balanced accuracy": found["balanced"]} if "balanced" in found else {}
        return {"accuracy": found["accuracy"], **balanced}

    def remarks(self, few: list[int]) -> list[str]:
        """As of the probes on the same labels."""
        return remarks_on_labels(self.train_labels, self.test_labels, few)


class LabelledExamples(TaskExamples):
    """Some labelled examples of a data module, whatever their modality.

    Args:
        examples: a part of the data.
        chosen: ``(n,)`` int64, positions in them.
        labels: ``(n,)`` int64 of these.
    """

    def __init__(self, examples: Examples, chosen: Tensor, labels: Tensor) -> None:
        self.examples, self.chosen, self.labels = examples, chosen, labels
        self.lengths = None if examples.lengths is None else examples.lengths[chosen]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> TaskBatch:
        """The examples at these positions."""
        batch = self.examples.__getitems__(self.chosen[positions].tolist())
        return TaskBatch(batch.inputs, batch.mask, self.labels[positions, None], None)


def class_task(data: DataModule, name: str, test_examples: int) -> ClassTask:
    """A task of a run's own data with one class per example, such as `classes`.

    Args:
        data: set up.
        name: name of the task.
        test_examples: the most test examples to evaluate on.

    Raises:
        InputError: there are no labels or no test examples, or the classes are such that any accuracy would be 0 or
            100 %.
    """
    task = data.tasks().get(name)
    if not isinstance(task, ExampleLabels) or not all(map(len, known_labels(task).values())):
        raise InputError(
            f"{data.source_name} has no labels to train and test with: choose another task, or other data."
        )
    known = {part: (labels != UNKNOWN).nonzero()[:, 0] for part, labels in task.parts.items()}
    train, test = (task.parts[part][known[part]] for part in ("train", "test"))
    if not is_informative(train, test):
        raise InputError(
            f"The training and the test part of {data.source_name} do not have two classes each, some of them in "
            "common, so that any accuracy would be 0 or 100 %: choose another task, or other data."
        )
    chosen = draw_test(len(test), test_examples)
    if not is_informative(train, test[chosen]):
        raise InputError(
            f"finetune: with test_examples {test_examples} the test examples of {data.source_name} are not of two "
            "classes, some of them in the training part, so that any accuracy would be 0 or 100 %: take more."
        )
    return ClassTask(
        data.source_name,
        data.split_hash,
        LabelledExamples(data.train_set, known["train"], train),
        LabelledExamples(data.test_set, known["test"][chosen], test[chosen]),
        (train, test[chosen]),
    )


def pair_task(records: Records[Pair], tokenizer: TextTokenizer, length: int) -> ClassTask:
    """How two texts relate, read as `begin text end second end`; what is too long is cut (see `wrap_pair`).

    Args:
        records: train and test.
        tokenizer: the run's.
        length: most tokens of an example.
    """
    numbers = {label: number for number, label in enumerate(sorted({record.label for record in records.train}))}
    parts, labels = [], []
    for part in (records.train, records.test):
        first, second = (split_texts([record[field] for record in part], tokenizer) for field in (0, 1))
        targets = torch.tensor([numbers[record.label] for record in part])
        examples = []
        for a, b, target in zip(first, second, targets, strict=True):
            ids, _ = wrap_pair(a.ids, b.ids, tokenizer, length)
            examples.append(Tokenized(torch.tensor(ids), target[None], torch.zeros(len(ids), dtype=torch.bool)))
        parts.append(TokenizedExamples(examples, tokenizer.special["pad"]))
        labels.append(targets)
    return ClassTask(records.name, records.hash(), parts[0], parts[1], (labels[0], labels[1]))
