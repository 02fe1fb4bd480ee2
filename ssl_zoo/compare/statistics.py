"""Means over seeds, and how far they can be trusted."""

import math
import statistics
from typing import NamedTuple


class Estimate(NamedTuple):
    """A mean over runs.

    Attributes:
        mean: mean of the values.
        interval: half the width of the 95 % interval of the mean, or None of a single run, which has none.
        values: one per run.
    """

    mean: float
    interval: float | None
    values: tuple[float, ...]


def estimate(values: list[float]) -> Estimate:
    """The mean, with the 95 % confidence interval by Student's t, which takes few runs for as few as they are.

    Args:
        values: one per seed, at least one.
    """
    count = len(values)
    # An exact sum, so that equal values have no spread and the order of runs does not matter.
    mean = math.fsum(values) / count
    if count == 1:
        return Estimate(mean, None, tuple(values))
    from scipy.stats import t

    half = float(t.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count)
    return Estimate(mean, half, tuple(values))
