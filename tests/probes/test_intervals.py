"""Intervals over examples, against published ones."""

import pytest

from ssl_zoo.probes.intervals import difference, distinguishable, too_few, wilson


def test_the_interval_of_an_accuracy_is_wilson_s():
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3: 81 of 263.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_interval_of_a_difference_is_newcombe_s():
    # Newcombe (1998), "Interval estimation for the difference between independent proportions", table II, method 10.
    assert difference(56 / 70, 48 / 80, 70, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_what_differs_by_less_than_chance_is_not_distinguished():
    assert distinguishable(0.9, 0.8, 359) and distinguishable(0.8, 0.9, 359)
    assert not distinguishable(0.9, 0.88, 359) and distinguishable(0.9, 0.88, 10_000)
    assert not distinguishable(1.0, 1.0, 3)


def test_the_sentence_names_the_columns_and_what_stands_beside():
    own = {"1": 0.5, "10": 0.8, "all": 0.99}
    said = too_few("the probe", own, {"raw": {"1": 0.4, "10": 0.79, "all": 0.985}, "none": {"10": 0.1}}, 359)
    assert "99.0 % of 359 may be anything from 97.2 to 99.6 %" in said
    assert said.endswith("the probe cannot be distinguished from raw (columns 10, all)")
    assert too_few("the probe", own, {"none": {"10": 0.1}}, 359) == ""
