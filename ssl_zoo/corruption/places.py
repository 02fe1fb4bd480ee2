"""Places that are hidden one by one, for a whole batch at once and in shapes that are known beforehand."""

import math

import torch
from torch import Tensor

from ssl_zoo.corruption.hidden import Hidden, require_mask_ratio
from ssl_zoo.corruption.masking import Masking, require_several
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# What an example's keys are folded with, so that its draws are independent of each other.
ORDER, NUMBER = range(2)
KEPT = 1  # by itself, where no number is drawn

# What binary fractions may lack to a whole number: 5 * (1 - 0.8) is 0.9999999999999998.
ROUNDED_OFF = 1e-9


class RandomPlaces(Masking):
    """Hides single places, drawn anew at every step.

    Of a row's n places that may be hidden ``floor(mask_ratio * n + u)`` are, u uniform in [0, 1), so that the
    expectation is exactly the ratio; but at least one and, unless the ratio is 1, not all, where there are several.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1]; 1 leaves nothing to see.

    Raises:
        InputError: `mask_ratio` is out of its range.
    """

    def __init__(self, mask_ratio: float) -> None:
        require_mask_ratio(mask_ratio)
        self.mask_ratio = mask_ratio

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return min(places, math.ceil(self.mask_ratio * places) + 1)

    def left(self, places: int) -> int:
        """The most real places of a row of at most so many that can be left to see."""
        return places - math.floor(self.mask_ratio * places)

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`; how places lie plays no part."""
        places = maskable.shape[1]
        require_several("RandomPlaces", places)
        positions = in_order(uniform(fold_in(keys, ORDER), places), maskable)[:, : self.slots(places)]
        slot = torch.arange(positions.shape[1], device=keys.device)
        return Hidden.of_slots(positions, slot < number_hidden(maskable, keys, self.mask_ratio), places)


class KeptPlaces(Masking):
    """Keeps few single places, equally many in all rows of a length, and hides all others (MAE, arXiv:2111.06377, 3).

    Of a row's n places ``floor((1 - mask_ratio) * n)`` are kept, so that what is left of rows of one length needs no
    padding, and is encoded at once.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1).

    Raises:
        InputError: `mask_ratio` is out of its range, or hides none or all of a batch's places.
    """

    def __init__(self, mask_ratio: float = 0.75) -> None:
        if not 0 < mask_ratio < 1:
            raise InputError(f"KeptPlaces: mask_ratio is {mask_ratio}; set it between 0 and 1, to hide some, not all.")
        self.mask_ratio = mask_ratio

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return places - self.left(places)

    def left(self, places: int) -> int:
        """The most real places of a row of at most so many that can be left to see."""
        return math.floor(places * (1 - self.mask_ratio) + ROUNDED_OFF)

    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """As in `Masking`; how places lie plays no part."""
        places = maskable.shape[1]
        require_several("KeptPlaces", places)
        if not 0 < self.left(places) < places:
            raise InputError(
                f"KeptPlaces: a mask_ratio of {self.mask_ratio} hides none or all of {places} places; change it, or "
                "make more places of an input: of images by a smaller patch_size, of speech by more data.min_seconds."
            )
        order = in_order(uniform(fold_in(keys, KEPT), places), maskable)
        # A row too short for the ratio keeps one.
        kept = torch.floor(maskable.sum(1, keepdim=True).double() * (1 - self.mask_ratio) + ROUNDED_OFF).clamp(min=1)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(places, device=keys.device).expand_as(order))
        return Hidden.of_mask((rank >= kept) & maskable, self.slots(places))


def number_hidden(maskable: Tensor, keys: Tensor, mask_ratio: float | Tensor) -> Tensor:
    """``(B, 1)`` int64, how many places of every row are to be hidden: in expectation exactly the ratio.

    Of several places at least one is, and one is left unless the ratio is 1: rounding decides nothing else.

    Args:
        maskable: ``(B, N)`` bool, True where a place may be hidden.
        keys: ``(B,)`` int64.
        mask_ratio: Part of the places to hide; of every row its own ``(B,)``, below 1.
    """
    count = maskable.sum(1)
    rounding = uniform(fold_in(keys, NUMBER), 1)[:, 0]
    whole = not isinstance(mask_ratio, Tensor) and mask_ratio == 1
    most = count if whole else torch.where(count > 1, count - 1, count)
    return torch.floor(mask_ratio * count + rounding).long().clamp(min=1).minimum(most)[:, None]


def in_order(draws: Tensor, maskable: Tensor) -> Tensor:
    """``(B, N)`` int64, places in the order of their draws in [0, 1), and after them those that must not be hidden."""
    return draws.masked_fill(~maskable, 2.0).argsort(dim=1, stable=True)
