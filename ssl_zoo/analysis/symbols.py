"""An encoder of one kind of sequences on another kind: what does pretraining on English do for DNA?"""

from functools import partial
from typing import NamedTuple

from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.dna import SpliceJunctions
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.class_tasks import class_task
from ssl_zoo.finetuning.train import Settings, fine_tune, with_passes
from ssl_zoo.long_work import LongWork
from ssl_zoo.runs.run import Run, rebuild
from ssl_zoo.tasks.labels import CLASSES

# Accuracies of every draw, by row and by labels per class, "all" being one.
Tuned = dict[str, dict[str, list[float]]]


class Reader(NamedTuple):
    """An encoder, and how it reads the stretches.

    Attributes:
        run: the run that it is of.
        data: the stretches as `read_by` gives them for that run.
        untrained: whether its weights are drawn anew, those that the run began with or others.
    """

    run: Run
    data: TextData
    untrained: bool = False

    def encoder(self, draw: int) -> Encoder:
        """A copy to be trained; where it is untrained, another one for every draw."""
        return rebuild(self.run.checkpoint, seed=draw).encoder if self.untrained else self.run.encoder_to_train()


def read_by(run: Run, source: SpliceJunctions, length: int = 64) -> TextData:
    """Stretches of DNA as inputs of a run's encoder, by the run's own tokenizer, split as always.

    Args:
        run: a run on texts; its data need not be read.
        source: the stretches, with words that stand for the bases where the run is on a language.
        length: tokens of an input at most.

    Raises:
        InputError: a word is not one token of the run's tokenizer, so that bases would differ in length, or as of
            `TextData.setup`.
    """
    tokens = run.data.tokens()
    if tokens is None:
        raise InputError(f"{run.directory} was not trained on texts: choose a run on texts.")
    for word in source.words or []:
        ids = tokens.tokenizer.splitter.encode(f" {word}", add_special_tokens=False).ids
        if len(ids) != 1 or ids[0] in tokens.tokenizer.special_ids:
            raise InputError(f"words has {word}, which is {len(ids)} tokens of {run.directory}: choose another word.")
    data = TextData(source, length=length, packing=False)
    data.read_like(run.data)
    data.setup()
    return data


def tune(
    readers: dict[str, Reader],
    labels_per_class: list[int],
    draws: int,
    settings: Settings,
    passes: int = 3,
    test_examples: int = 2000,
) -> Tuned:
    """Fine-tunes encoders on the classes of the stretches, and evaluates them on their test part.

    As `ssl-zoo finetune` does on a run's own data: everything is trained, the weights of the last step are evaluated,
    and all rows get the same stretches in the same order.

    Args:
        readers: encoders by row, each with its way to read the same stretches.
        labels_per_class: labels per class to try, besides all.
        draws: random choices of examples, head and order.
        settings: settings of every fine-tuning.
        passes: passes over the examples, at least.
        test_examples: the most test examples to evaluate on.

    Raises:
        InputError: there are no labels to train and test with.
    """
    found: Tuned = {row: {} for row in readers}
    tasks = {row: class_task(reader.data, CLASSES, test_examples) for row, reader in readers.items()}
    jobs = [
        (number, draw, row) for number in [*sorted(labels_per_class), None] for draw in range(draws) for row in readers
    ]
    with LongWork("fine-tuning", len(jobs), "trainings") as work:
        for number, draw, row in jobs:
            chosen = tasks[row].draw(number, draw)
            steps = with_passes(settings, len(chosen), passes)
            answers = fine_tune(readers[row].encoder(draw), tasks[row], chosen, draw, steps)
            found[row].setdefault(str(number or "all"), []).append(tasks[row].score(answers)["accuracy"])
            work.advance(partial("{}, {} labels per class, draw {}".format, row, number or "all", draw + 1))
    return found
