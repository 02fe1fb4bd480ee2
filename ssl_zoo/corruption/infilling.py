"""BART's text infilling: spans of random lengths, some of which are empty, so that a mask says nothing of a length."""

import math

import torch
from torch import Tensor

from ssl_zoo.corruption.hidden import Hidden, require_mask_ratio
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.token_spans import TextSpans, require_line
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# What an example's keys are folded with, so that its draws are independent of each other.
LENGTHS, STARTS, INSERTED = range(3)


class Infilling(Masking):
    """Hides spans whose lengths are Poisson-distributed (BART, Lewis et al., 2019, arXiv:1910.13461, section 2.2).

    As in the released code: lengths are drawn until they add up to ceil(mask_ratio * n) of a row's n places, the last
    one being cut. Spans begin at different places, but may overlap, and then less is hidden; one that begins within
    another is one with it. A span of length 0 stands between two places. Lengths are in tokens, not in words.

    Args:
        mask_ratio: Part of the places to hide if spans did not overlap, in (0, 1].
        mean_length: Mean of the Poisson distribution, above 0; the paper takes 3.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(self, mask_ratio: float = 0.3, mean_length: float = 3.0) -> None:
        require_mask_ratio(mask_ratio)
        if not 0 < mean_length <= 50:
            raise InputError(f"Infilling: mean_length is {mean_length}; give a number of places above 0, at most 50.")
        self.mask_ratio, self.mean_length = mask_ratio, mean_length
        probabilities = [math.exp(-mean_length)]
        while 1 - sum(probabilities) > 1e-7:
            probabilities.append(probabilities[-1] * mean_length / len(probabilities))
        self._up_to = torch.tensor(probabilities, dtype=torch.float64).cumsum(0)[:-1]

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return min(places, math.ceil(self.mask_ratio * places))

    def most_inserted(self, places: int) -> int:
        """The most empty spans of a row of so many places, eight standard deviations above their mean and four more."""
        mean = self.slots(places) / self.mean_length * math.exp(-self.mean_length)
        return 4 + math.ceil(mean + 8 * math.sqrt(mean))

    def most_spans(self, places: int) -> int:
        """The most spans of a row of so many places, empty ones among them, as unlikely to be passed as those."""
        hidden = self.slots(places)
        return self.most_inserted(places) + min(
            hidden, math.ceil((hidden + 8 * math.sqrt(hidden)) / self.mean_length) + 4
        )

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`, of places in a line: the hidden places of `spans`."""
        require_line("Infilling", maskable, grid)
        return self.spans(maskable, keys).hidden

    def spans(self, maskable: Tensor, keys: Tensor) -> TextSpans:
        """The same as spans, with those of no tokens.

        Args:
            maskable: ``(B, N)`` bool, True where a place may be hidden.
            keys: ``(B,)`` int64, one per row.
        """
        count, width = maskable.sum(1, keepdim=True), maskable.shape[1]
        budget = torch.ceil(self.mask_ratio * count.double()).long()
        if self.mask_ratio < 1:  # something is left to see
            budget = budget.minimum(count - 1).clamp_min(0)
        # So many lengths add up to the budget in all rows but very few; a small mean takes more of them than of places.
        mean = self.slots(width) / self.mean_length
        draws = uniform(fold_in(keys, LENGTHS), max(width + 16, math.ceil(mean + 8 * math.sqrt(mean)))).double()
        lengths = torch.searchsorted(self._up_to.to(draws.device), draws, right=True)
        before = lengths.cumsum(1) - lengths
        drawn = before < budget
        lengths = torch.where(drawn, lengths.minimum(budget - before), 0)
        is_span, is_empty = lengths > 0, drawn & (lengths == 0)

        # The j-th span begins at the place with the j-th smallest draw; place numbers are those among the maskable.
        place = torch.arange(width, device=keys.device)
        order = uniform(fold_in(keys, STARTS), width).masked_fill(place >= count, 2.0).argsort(dim=1, stable=True)
        spans = is_span.cumsum(1) - 1
        start = order.gather(1, spans.clamp_min(0))
        end = (start + lengths).minimum(count)
        started = _counts(start, is_span, width)
        reached = (_counts(start + 1, is_span, width) - _counts(end.maximum(start + 1), is_span, width)).cumsum(1) > 0
        begins, within = started > 0, reached
        hidden = begins | within

        free = uniform(fold_in(keys, INSERTED), width).masked_fill((place >= count) | within, 2.0)
        order = free.argsort(dim=1, stable=True)
        rank = torch.empty_like(order).scatter_(1, order, place.expand_as(order))
        empty = is_empty.sum(1, keepdim=True).clamp_max(self.most_inserted(width))
        inserted = (rank < empty) & (free < 2)

        number = (maskable.cumsum(1) - 1).clamp_min(0)
        hidden, starts, inserted = (each.gather(1, number) & maskable for each in (hidden, begins & ~within, inserted))
        return TextSpans(Hidden.of_mask(hidden, self.slots(width)), starts, inserted)


def _counts(places: Tensor, counted: Tensor, width: int) -> Tensor:
    """``(B, N)`` int64, how many of ``(B, M)`` places that count each place is; those behind all are nowhere."""
    counts = torch.zeros(len(places), width + 1, dtype=torch.int64, device=places.device)
    return counts.scatter_add_(1, places.clamp_max(width), counted.long())[:, :-1]
