import numpy as np
import pytest
from scipy.stats import ttest_1samp

from ssl_zoo.compare.statistics import estimate


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_interval_is_the_one_that_the_t_test_inverts(count):
    values = np.random.default_rng(count).normal(0.8, 0.05, count)
    found = estimate(list(values))
    wanted = ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(values.mean())
    assert (found.mean - found.interval, found.mean + found.interval) == pytest.approx((wanted.low, wanted.high))


def test_the_interval_covers_the_truth_in_95_of_100_cases():
    draws = np.random.default_rng(0).normal(0.6, 0.1, (2000, 3))
    found = [estimate(list(row)) for row in draws]
    covered = np.mean([abs(one.mean - 0.6) <= one.interval for one in found])
    assert covered == pytest.approx(0.95, abs=0.015)  # three standard errors


def test_one_run_has_no_interval_and_equal_runs_one_of_no_width():
    assert estimate([0.3]) == (0.3, None, (0.3,))
    assert estimate([0.1, 0.1, 0.1])[:2] == (pytest.approx(0.1), pytest.approx(0.0))
