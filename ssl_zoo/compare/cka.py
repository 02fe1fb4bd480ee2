"""How alike two representations of the same examples are."""

import numpy as np


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al., 2019, arXiv:1905.00414, equation 5 and section 3).

    With X and Y the features less their means, ``|Y'X|^2 / (|X'X| |Y'Y|)`` in Frobenius norms: 1 when one is a rotated
    and scaled copy of the other, 0 when no direction of one goes along with any of the other.

    Args:
        first: ``(N, D)`` features.
        second: ``(N, E)`` features of the same examples in the same order.

    Returns:
        A number in [0, 1]; 0 where either is constant.
    """
    x, y = _centred(first), _centred(second)
    shared, own, other = (float(np.square(a.T @ b).sum()) for a, b in ((y, x), (x, x), (y, y)))
    return shared / (own * other) ** 0.5 if own > 0 and other > 0 else 0.0


def _centred(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    centred = features - features.mean(0)
    # Of a constant the subtraction leaves rounding errors, which are no directions.
    constant = np.linalg.norm(centred) <= 1e-9 * np.linalg.norm(features)
    return np.zeros_like(centred) if constant else centred
