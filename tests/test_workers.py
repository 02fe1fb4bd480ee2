"""Every method's tests are on one worker, those of different methods are not, and other files stay whole."""

import pytest

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
