import math

import pytest

from ssl_zoo.parts.permutations import GROUPS, unlike_permutations


@pytest.mark.parametrize(("count", "differ"), [(2, 9), (9, 9), (10, 8), (72, 8), (73, 7), (504, 7), (505, 6)])
def test_any_two_differ_in_as_many_places_as_promised(count, differ):
    orders = unlike_permutations(count)
    assert orders.shape == (count, 9) and (orders.sort(1).values.diff() == 1).all() and (orders[:, :] < 9).all()
    distances = (orders[:, None] != orders).sum(2)
    assert distances.fill_diagonal_(9).min() >= differ


@pytest.mark.parametrize("count", [9, 72, 504])
def test_no_larger_set_is_as_unlike(count):
    """Of orders that differ in d places no two begin alike in 10 - d of them: 9! / (d - 1)! beginnings there are."""
    (differ,) = ({9: 9, 72: 8, 504: 7}[count],)
    assert count == math.factorial(9) // math.factorial(differ - 1) and count in GROUPS
    orders = unlike_permutations(count)
    assert (orders == unlike_permutations(count)).all()
    for place in range(9):  # every tile is at every place equally often, so that none gives an order away
        assert set(orders[:, place].bincount(minlength=9).tolist()) == {count // 9}
