"""A task of a run's own data with one class per place within its examples, such as phones, of any modality."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import Examples
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.tasks import Task, draw_some, draw_test
from ssl_zoo.probes.accuracy import is_informative, scores
from ssl_zoo.tasks.examples import TaskBatch, TaskExamples
from ssl_zoo.tasks.heads import PlaceHead
from ssl_zoo.tasks.labels import PlaceLabels, Places


class PlaceExamples(TaskExamples):
    """Examples with labelled places.

    Args:
        examples: a part of the data.
        places: labelled ones within it.
        chosen: ``(n,)`` int64, positions of examples that have some.
    """

    def __init__(self, examples: Examples, places: Places, chosen: Tensor) -> None:
        self.examples, self.places, self.chosen = examples, places, chosen
        self.lengths = None if examples.lengths is None else examples.lengths[chosen]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> TaskBatch:
        """The examples at these positions."""
        chosen = self.chosen[positions]
        batch = self.examples.__getitems__(chosen.tolist())
        here, rows = self.places.of(chosen)
        counts = rows.bincount(minlength=len(chosen)).tolist()
        inputs, targets = (
            pad_sequence(list(values[here].split(counts)), batch_first=True, padding_value=-1)
            for values in (self.places.inputs, self.places.labels)
        )
        return TaskBatch(batch.inputs, batch.mask, targets, inputs)


class PlaceTask(Task):
    """One class per place, from the encoder's vector that is nearest to it.

    Args:
        data: set up.
        name: name of the task.
        test_examples: the most test examples to evaluate on.

    Raises:
        InputError: the classes are such that any accuracy would be 0 or 100 %.
    """

    counted = "examples"

    def __init__(self, data: DataModule, name: str, test_examples: int) -> None:
        task = data.tasks()[name]
        assert isinstance(task, PlaceLabels)
        self.data, self.split = data.source_name, data.split_hash
        self.classes = len(task.classes)
        train, test = task.parts["train"], task.parts["test"]
        with_places = test.examples.unique()
        chosen = with_places[draw_test(len(with_places), test_examples)]
        here, _ = test.of(chosen)
        self.wanted = test.labels[here]
        if not is_informative(train.labels, self.wanted):
            raise InputError(
                f"finetune: the training part of {data.source_name} and its first {test_examples} test examples do not "
                f"have two classes of {name} each, some in common, so that any accuracy would be 0 or 100 %: take more "
                "test_examples, or choose another task."
            )
        self.train = PlaceExamples(data.train_set, train, train.examples.unique())
        self.test = PlaceExamples(data.test_set, test, chosen)

    def new_head(self, encoder: Encoder) -> PlaceHead:
        """As in `Task`."""
        return PlaceHead(encoder.time_dim, self.classes, encoder.offset, encoder.stride)

    def draw(self, number: int | None, draw: int) -> Tensor:
        """As in `Task`; see `draw_some`."""
        return draw_some(len(self.train), self.data, number, draw)

    def score(self, answers: list[list[int]]) -> dict[str, float]:
        """Accuracy over all places, and where classes differ in size balanced accuracy."""
        found = scores(torch.tensor([label for row in answers for label in row]), self.wanted)
        balanced = {"balanced accuracy": found["balanced"]} if "balanced" in found else {}
        return {"accuracy": found["accuracy"], **balanced}
