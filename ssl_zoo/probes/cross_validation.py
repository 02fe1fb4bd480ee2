"""How strongly a probe is regularised where nothing but its few labelled examples may choose."""

from collections.abc import Callable

import torch
from torch import Tensor

# Penalties are weights of |W|^2 / 2 against the mean cross entropy, on features of unit mean square norm. The search
# starts at the strongest and each fit starts from the last, which is both the fast and the stable direction.
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
# With fewer labels than ENOUGH of every class, held-out parts say too little, and the penalty is this divided by the
# number of labelled examples: against the summed cross entropy it is the same for one label as for nine, as a prior is.
FIXED_PENALTY = 1e-2
ENOUGH = 10
FOLDS = 5


def assign_folds(labels: Tensor) -> Tensor | None:
    """``(N,)`` int64 folds, each with its share of every class; None if half the classes have less than ENOUGH.

    Args:
        labels: ``(N,)`` int64.
    """
    counts = labels.bincount()
    if counts[counts > 0].median() < ENOUGH:
        return None
    fold = torch.empty_like(labels)
    # Counted on from class to class, so that small classes do not all fill the same folds.
    fold[labels.argsort(stable=True)] = torch.arange(len(labels), device=labels.device) % FOLDS
    return fold


def choose_by_held_out_loss(held_out_loss: Callable[[float], float]) -> float:
    """The penalty after which the loss on held-out examples rises, from the strongest on.

    The likelihood of held-out labels chooses rather than the accuracy, which so few of them give in large steps.

    Args:
        held_out_loss: cross entropy by penalty; called from strong to weak, so that a fit may start from the last.
    """
    best, lowest = PENALTIES[0], float("inf")
    for penalty in PENALTIES:
        loss = held_out_loss(penalty)
        if loss >= lowest:
            break
        best, lowest = penalty, loss
    return best
