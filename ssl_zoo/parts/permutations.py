"""Orders of nine things that are as unlike each other as orders can be."""

import torch
from torch import Tensor

NINE = range(9)
# Nine places as the field of nine elements, 3 i + j for i w + j with w w = w + 1: one more, w more, times w.
ONE_MORE, W_MORE, TIMES_W = (1, 2, 0, 4, 5, 3, 7, 8, 6), (3, 4, 5, 6, 7, 8, 0, 1, 2), (0, 3, 6, 4, 7, 1, 8, 2, 5)
# And as the field of eight, in bits with z z z = z + 1, and infinity: one more, times z, one by, squared.
FLIPPED, TIMES_Z, INVERSE, SQUARED = (
    (1, 0, 3, 2, 5, 4, 7, 6, 8),
    (0, 2, 4, 6, 3, 1, 7, 5, 8),
    (8, 1, 5, 6, 7, 2, 3, 4, 0),
    (0, 1, 4, 5, 6, 7, 2, 3, 8),
)
# How many there are, and what makes all of them of each other. Any two differ in at least 9, 8, 7 and 6 places: two
# affine maps agree in one place at most, two that are fractions of linear ones in two.
GROUPS = {
    9: (ONE_MORE, W_MORE),
    72: (ONE_MORE, W_MORE, TIMES_W),
    504: (FLIPPED, TIMES_Z, INVERSE),
    1512: (FLIPPED, TIMES_Z, INVERSE, SQUARED),
}
MOST = max(GROUPS)


def unlike_permutations(count: int) -> Tensor:
    """Permutations of nine things of which any two differ in as many places as possible; always the same ones.

    Noroozi and Favaro (2016, arXiv:1603.09246, algorithm 1) choose them one by one for a large Hamming distance. Groups
    of permutations that move points sharply are better and need no search: no more than 9 can differ in all places, 72
    in 8 of them and 504 in 7, and so many there are here. Up to 1,512 differ in 6.

    Args:
        count: how many, from 1 to `MOST`.

    Returns:
        ``(count, 9)`` int64.
    """
    generators = next(generators for size, generators in GROUPS.items() if count <= size)
    known = {tuple(NINE): None}  # in the order in which they are found
    waiting = list(known)
    while waiting:
        found = [tuple(order[place] for place in step) for order in waiting for step in generators]
        waiting = [order for order in dict.fromkeys(found) if order not in known]
        known.update(dict.fromkeys(waiting))
    return torch.tensor(list(known)[:count])
