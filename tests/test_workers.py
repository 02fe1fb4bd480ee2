"""Every method's tests are on one worker, those of different methods are not, and other files stay whole."""

from collections import OrderedDict

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.workers import TogetherScheduling


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("tests/contracts/test_methods.py::test_one[SimCLR]", "SimCLR"),
        ("tests/contracts/test_experiments.py::test_two[image/simclr_cifar10.yaml]", "SimCLR"),
        ("tests/contracts/test_experiments.py::test_two[text/bert.yaml]", "BERT"),
        ("tests/contracts/test_methods.py::test_three", "tests/contracts/test_methods.py"),
        ("tests/contracts/test_encoders.py::test_four[ViT]", "tests/contracts/test_encoders.py"),
        ("tests/views/test_image.py::test_five[BYOL]", "tests/views/test_image.py"),
    ],
)
def test_a_method_and_its_experiments_share_a_worker(test, group):
    assert TogetherScheduling.__new__(TogetherScheduling)._split_scope(test) == group


def test_groups_of_few_tests_come_first(monkeypatch):
    given, sizes = [], {"a": 9, "b": 1, "c": 4}

    def assign(self, node):
        given.append(self.workqueue.popitem(last=False))

    monkeypatch.setattr(LoadScopeScheduling, "_assign_work_unit", assign)
    scheduling = TogetherScheduling.__new__(TogetherScheduling)
    scheduling.workqueue = OrderedDict((group, dict.fromkeys(range(size))) for group, size in sizes.items())
    for _ in range(3):
        scheduling._assign_work_unit(None)
    assert [group for group, _ in given] == ["b", "c", "a"] and not scheduling.workqueue
