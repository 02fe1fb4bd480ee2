"""What every task of fine-tuning offers: its examples, its head and its score."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.tasks.examples import TaskExamples
from ssl_zoo.tasks.heads import Head


class Task(ABC):
    """A labelled task, ready for an encoder.

    Attributes:
        counted: what a number of training examples means, `labels per class` or `examples`.
        data: what the data is called in tables.
        split: equal for two tasks exactly when they train and test on the same.
        train: all training examples.
        test: the examples to be evaluated on.
        left_out: training and test examples that `length` tokens leave no answer in.
    """

    counted: ClassVar[str]
    data: str
    split: str
    train: TaskExamples
    test: TaskExamples
    left_out: tuple[int, int] = (0, 0)

    @abstractmethod
    def new_head(self, encoder: Encoder) -> Head:
        """An untrained head for the vectors of an encoder."""

    @abstractmethod
    def draw(self, number: int | None, draw: int) -> Tensor:
        """Positions of training examples.

        Args:
            number: number of labels per class or of examples; None takes all.
            draw: number of the choice; the same number gives the same choice.
        """

    @abstractmethod
    def score(self, answers: list[list[int]]) -> dict[str, float]:
        """Figures in [0, 1] for a head's answers to all test examples, in their order; high is good."""

    def remarks(self, few: list[int]) -> list[str]:
        """Sentences about what the figures do not say, for these numbers of examples; none unless a task has some."""
        return []


def draw_some(count: int, data: str, number: int | None, draw: int) -> Tensor:
    """Positions of so many training examples, drawn without a look at their labels.

    Args:
        count: how many there are.
        data: what the data is called.
        number: how many to draw; None takes all.
        draw: number of the choice; the same number gives the same choice.

    Raises:
        InputError: there are not so many.
    """
    if number is not None and number > count:
        raise InputError(f"examples is {number}, but {data} has {count} to train on: take fewer.")
    return torch.randperm(count, generator=torch.Generator().manual_seed(draw))[:number]


def draw_test(count: int, most: int) -> Tensor:
    """Ascending positions of the test examples to evaluate on: `most` of `count`, at random but always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values
