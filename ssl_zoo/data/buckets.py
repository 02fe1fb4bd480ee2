"""Which recordings share a batch: of similar length and drawn anew every pass, or simply at random."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.loader import ShuffledSampler
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in

# A batch by seconds has a multiple of so many recordings, so that as many processes share it evenly; where the longest
# ones are too long for it, half, a quarter or an eighth.
EVEN = 8
# The longest recording of a bucket is at most so many times as long as its shortest one, which bounds the padding ...
RATIO = 1.15
# ... unless so many batches are not filled by then: with fewer, a recording would meet the same ones in every pass.
FEWEST = 3


class Bucket(NamedTuple):
    """Recordings that may share a batch.

    Attributes:
        members: ``(n,)`` int64, their positions.
        weights: ``(n,)`` float64, how often each is drawn in a pass, relative to the others.
        draws: number of draws from this bucket in a pass.
        size: size of a batch; the last one of a pass may be smaller.
    """

    members: np.ndarray
    weights: np.ndarray
    draws: int
    size: int

    @property
    def batches(self) -> int:
        """How many a pass has."""
        return -(-self.draws // self.size)


class Draw(NamedTuple):
    """One rank's share of a batch.

    Attributes:
        batch: number of the batch in the stream of batches.
        first: place in the global batch of the first of `positions`.
        positions: positions of the recordings.
    """

    batch: int
    first: int
    positions: list[int]


def class_weights(labels: Tensor, alpha: float) -> np.ndarray:
    """How often each example of an unbalanced data set is drawn in a pass, once on average.

    A class of n examples gets a share of the draws in proportion to n ** alpha, as languages do in XLS-R (Babu et al.,
    2021, arXiv:2111.09296, section 2); there n is hours, here it is recordings.

    Args:
        labels: ``(N,)`` int64; -1 is a class like any other.
        alpha: 1 takes the data as it is, 0 draws from all classes alike.

    Returns:
        ``(N,)`` float64.
    """
    _, places, counts = np.unique(labels.numpy(), return_inverse=True, return_counts=True)
    share = counts**alpha / (counts**alpha).sum()
    return (share / counts)[places] * len(places)


def one_bucket(weights: np.ndarray, batch_size: int) -> list[Bucket]:
    """All recordings in one bucket; the last, incomplete batch is left out.

    Args:
        weights: ``(N,)`` float64, how often each is drawn in a pass.
        batch_size: size of the global batch, at most N.
    """
    return [Bucket(np.arange(len(weights)), weights, len(weights) // batch_size * batch_size, batch_size)]


def buckets_by_length(lengths: np.ndarray, weights: np.ndarray, most: int) -> list[Bucket]:
    """Buckets of similar lengths, every batch padded to at most `most` samples.

    Batches are made for the data, not for the processes that happen to share them: see EVEN. A pass has a multiple of
    it, too; the fewer than EVEN recordings that remain are left out, others in every pass, among the shortest.

    Args:
        lengths: ``(N,)`` int64 samples.
        weights: ``(N,)`` float64, how often each is drawn in a pass, once on average.
        most: samples in a batch, with padding; at least as many as the longest recording has.
    """
    even = EVEN
    while even * lengths.max() > most or even > len(lengths):
        even //= 2
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths, mass = lengths[order], weights[order].cumsum()
    buckets, first, before = [], 0, 0.0
    while first < len(order):
        size = even * int(most // (even * sorted_lengths[first]))
        similar = int(np.searchsorted(-sorted_lengths, -sorted_lengths[first] / RATIO, side="right"))
        batches = max(FEWEST, round((mass[similar - 1] - before) / size))
        # The first recordings to be drawn often enough for so many batches, or all where the rest is less than a batch.
        last = int(np.searchsorted(mass, before + batches * size - 0.5)) + 1
        if last >= len(order) or mass[-1] - mass[last - 1] < size:
            last, draws = len(order), int((mass[-1] - before + 0.5) // even * even)
        else:
            draws = batches * size
        buckets.append(Bucket(order[first:last], weights[order[first:last]], draws, size))
        first, before = last, mass[last - 1]
    return buckets


def draw_pass(buckets: list[Bucket], seed: int, number: int) -> list[np.ndarray]:
    """The batches of one pass, each the positions of its recordings, in random order.

    A recording is drawn as often as its weight says, rounded down or up at random (systematic sampling): with equal
    weights once.

    Args:
        buckets: the buckets that share the recordings among them.
        seed: seed of the order.
        number: number of the pass.
    """
    generator = torch.Generator().manual_seed(int(fold_in(torch.tensor([seed]), number)))
    batches = []
    for members, weights, draws, size in buckets:
        order = torch.randperm(len(members), generator=generator).numpy()
        reach = (weights[order] * (draws / weights.sum())).cumsum()
        points = np.arange(draws) + torch.rand((), generator=generator, dtype=torch.float64).item()
        drawn = members[order[np.searchsorted(reach, points, side="right").clip(max=len(members) - 1)]]
        drawn = drawn[torch.randperm(draws, generator=generator).numpy()]  # the same one's draws lie side by side
        batches.extend(np.split(drawn, range(size, draws, size)))
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]


def padding_share(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    """Which part of the samples of some batches is padding, each being padded to its longest recording.

    Args:
        batches: positions of recordings.
        lengths: ``(N,)`` int64 samples of all recordings.
    """
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - sum(int(lengths[batch].sum()) for batch in batches) / padded


class BucketSampler(ShuffledSampler):
    """One rank's share of an endless stream of batches from buckets: a `Draw` is what a loader asks its data set for.

    Args:
        buckets: the buckets that share the recordings among them.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes.

    Raises:
        InputError: the processes cannot share every batch evenly.
    """

    def __init__(self, buckets: list[Bucket], seed: int, rank: int, world_size: int) -> None:
        super().__init__(sum(bucket.draws for bucket in buckets), 1, seed, rank, world_size)
        uneven = [bucket.size for bucket in buckets if bucket.size % world_size or bucket.draws % world_size]
        if uneven:
            raise InputError(
                f"A batch of {min(uneven)} recordings cannot be shared by {world_size} processes: raise "
                "seconds_per_batch, or lower max_seconds."
            )
        self.buckets = buckets
        self.batches_per_epoch = sum(bucket.batches for bucket in buckets)

    def __len__(self) -> int:
        """Batches in one pass."""
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[Draw]:  # type: ignore[override]  # what a data set of whole batches is asked for
        """As many batches as a pass has, from `first_batch` of the stream on."""
        number, batches = -1, []
        for batch in range(self.first_batch, self.first_batch + self.batches_per_epoch):
            if batch // self.batches_per_epoch != number:
                number = batch // self.batches_per_epoch
                batches = draw_pass(self.buckets, self.seed, number)
            positions = batches[batch % self.batches_per_epoch]
            share = len(positions) // self.num_replicas
            first = self.rank * share
            yield Draw(batch, first, positions[first : first + share].tolist())
