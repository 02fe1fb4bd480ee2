"""Tests of the task: `python -m pytest test_my_task.py`."""

import torch
from my_task import MyTask

from ssl_zoo.callbacks.own_contracts import check_data
from ssl_zoo.tasks.labels import ExampleLabels, can_be_asked


def test_it_keeps_the_contract() -> None:
    """A label per example of every part, of the classes there are, as every run checks before it begins."""
    data = MyTask(train_size=100)
    data.setup()
    check_data(data)


def test_it_can_be_asked_beside_the_classes() -> None:
    """Every part has both answers, and they are right."""
    data = MyTask(train_size=100)
    data.setup()
    parity = data.tasks()["parity"]
    assert set(data.tasks()) == {"classes", "parity"} and can_be_asked(parity)
    assert isinstance(parity, ExampleLabels) and data.test_set.labels is not None
    digits = torch.tensor([int(data.classes[label]) for label in data.test_set.labels])
    assert torch.equal(parity.parts["test"], digits % 2)
