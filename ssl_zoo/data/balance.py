"""Batches in which small groups of the examples, such as languages with little text, come more often."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.loader import ShuffledSampler, permutation
from ssl_zoo.errors import InputError


class Balance(NamedTuple):
    """How often the examples of each group are drawn: languages, say, of which some have little text.

    Attributes:
        groups: ``(N,)`` int64, number of the group of every example.
        exponent: power of a group's size that its share of the batches is proportional to, in [0, 1]; 1 draws every
            example alike, 0 every group.
    """

    groups: Tensor
    exponent: float


class BalancedSampler(ShuffledSampler):
    """One rank's share of an endless stream of batches in which small groups come more often than they are large.

    A group of n examples has a share of the stream proportional to n to the power of an exponent, as languages have in
    multilingual BERT (0.7) and in XLM (Conneau and Lample, 2019, arXiv:1901.07291, section 3.1). An epoch is as long as
    the data, and has of every group exactly its share, rounded so that all add up. A group's examples come in one
    permutation after another, which go on from epoch to epoch: none comes again before the others have come, but for
    what is left out as an epoch's incomplete last batch. All of it is a function of (seed, epoch).

    Args:
        balance: groups of the examples, and the exponent.
        length: number of examples.
        batch_size: size of the global batch.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, balance: Balance, length: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        super().__init__(length, batch_size, seed, rank, world_size)
        self.members = [(balance.groups == group).nonzero()[:, 0] for group in balance.groups.unique().tolist()]
        self.counts = shares_of([len(members) for members in self.members], balance.exponent)

    def order_of(self, epoch: int) -> Tensor:
        """``(length,)`` int64, positions, of small groups some more than once and of large ones not all."""
        drawn = []
        for group, (members, count) in enumerate(zip(self.members, self.counts, strict=True)):
            first, last = epoch * count, (epoch + 1) * count
            passes = range(first // len(members), -(-last // len(members)))
            stream = torch.cat([permutation(len(members), self.seed, -1 - group, each) for each in passes] or [members])
            start = first - passes.start * len(members)
            drawn.append(members[stream[start : start + count]])
        return torch.cat(drawn)[permutation(self.length, self.seed, epoch)]


def shares_of(sizes: list[int], exponent: float) -> list[int]:
    """How many examples of each group an epoch has: as many as there are in all.

    Args:
        sizes: examples of each group, at least one.
        exponent: power of a group's size that its share is proportional to.
    """
    weights = torch.tensor(sizes, dtype=torch.float64) ** exponent
    ends = (weights.cumsum(0) / weights.sum() * sum(sizes)).round().long()
    return ends.diff(prepend=ends.new_zeros(1)).tolist()


def check_balance(balance: float | None, source: str = "", classes: list[str] | None = None) -> None:
    """Refuses an exponent out of its range, or one where there are no classes to balance.

    Args:
        balance: the exponent; None draws every example alike.
        source: what the data is called.
        classes: names of the classes; None where they are not known yet.

    Raises:
        InputError: it is so.
    """
    if balance is not None and not 0 <= balance <= 1:
        raise InputError(f"balance is {balance}: it must lie between 0 and 1.")
    if balance is not None and classes == []:
        raise InputError(f"balance is {balance}, but {source} has no classes: leave it out.")
