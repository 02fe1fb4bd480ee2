import numpy as np
import pytest

from ssl_zoo.compare.cka import linear_cka

draw = np.random.default_rng(0)


def hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Equation 3 of Kornblith et al.: tr(K H L H) / (n - 1)^2 of two Gram matrices."""
    count = len(first)
    centre = np.eye(count) - np.ones((count, count)) / count
    return float(np.trace(first @ centre @ second @ centre)) / (count - 1) ** 2


def test_cka_is_the_normalised_hsic_of_linear_kernels():
    for width in (3, 40):  # fewer and more dimensions than examples
        x = draw.normal(1, 1, (30, 5))
        y = x @ draw.normal(size=(5, width)) + draw.normal(-2, 1, (30, width))
        k, kk = x @ x.T, y @ y.T
        wanted = hsic(k, kk) / (hsic(k, k) * hsic(kk, kk)) ** 0.5
        assert 0.1 < wanted < 0.99 and linear_cka(x, y) == pytest.approx(wanted, rel=1e-9)


def test_cka_sees_through_rotation_scale_and_shift_but_not_through_stretching():
    x = draw.normal(size=(100, 6))
    rotation = np.linalg.qr(draw.normal(size=(6, 6)))[0]
    assert linear_cka(x, 7 * x @ rotation + 3) == pytest.approx(1)
    assert linear_cka(x, x * [30, 1, 1, 1, 1, 1]) < 0.9
    assert linear_cka(x, draw.normal(size=(100, 6))) < 0.2


def test_a_constant_is_like_nothing():
    assert linear_cka(np.full((20, 3), 0.1, dtype=np.float16), draw.normal(size=(20, 3))) == 0
