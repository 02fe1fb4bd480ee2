import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from ssl_zoo.parts.agreement import mutual_information


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_it_is_the_librarys(noise):
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 7, (300,), generator=generator) * 2  # some numbers stand for no group
    drawn = torch.randint(0, 5, (300,), generator=generator)
    second = torch.where(torch.rand(300, generator=generator) < noise, drawn, 20 - first)
    expected = normalized_mutual_info_score(first.numpy(), second.numpy(), average_method="geometric")
    assert float(mutual_information(first, second)) == pytest.approx(expected, abs=1e-9)
    if not noise:
        assert float(mutual_information(first, second)) == pytest.approx(1.0)


def test_a_single_group_says_nothing():
    assert float(mutual_information(torch.zeros(9, dtype=torch.int64), torch.arange(9))) == 0
