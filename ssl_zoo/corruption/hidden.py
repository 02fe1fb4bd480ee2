"""What is hidden from an encoder: one type for tokens, patches and frames, however their places were drawn."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Embedded
from ssl_zoo.errors import InputError


class Hidden(NamedTuple):
    """The places of a batch whose content an encoder does not see, and which a method predicts.

    What draws places knows how many a row of N can get at most, K: no shape depends on what is drawn, nothing waits for
    the device, and a head computes K vectors and not N.

    Attributes:
        mask: ``(B, N)`` bool, True where a place is hidden.
        positions: ``(B, K)`` int64, the hidden places and, in slots that are left over, others; all different in a row.
        valid: ``(B, K)`` bool, True where a slot of `positions` holds a hidden place.
    """

    mask: Tensor
    positions: Tensor
    valid: Tensor

    @classmethod
    def of_mask(cls, mask: Tensor, slots: int) -> Self:
        """Hidden places in ascending order.

        Args:
            mask: ``(B, N)`` bool, True where a place is to be hidden.
            slots: the most places that any row can have hidden, K.
        """
        positions = mask.long().argsort(dim=1, descending=True, stable=True)[:, :slots]
        return cls(mask, positions, torch.arange(slots, device=mask.device) < mask.sum(1, keepdim=True))

    @classmethod
    def of_slots(cls, positions: Tensor, valid: Tensor, places: int) -> Self:
        """The same of `positions` and `valid`, both ``(B, K)``, among so many places."""
        nothing = torch.zeros(len(positions), places, dtype=torch.bool, device=positions.device)
        return cls(nothing.scatter(1, positions, valid), positions, valid)

    def at(self, values: Tensor) -> Tensor:
        """What stands at `positions`, ``(B, K, ...)``, of the values of all places ``(B, N, ...)``."""
        index = self.positions.view(*self.positions.shape, *[1] * (values.ndim - 2))
        return torch.take_along_dim(values, index, dim=1)

    def put(self, values: Tensor, others: Tensor) -> Tensor:
        """The values of all places ``(B, N, ...)`` with `others` ``(B, K, ...)`` at the hidden ones."""
        shape = (*self.positions.shape, *[1] * (values.ndim - 2))
        new = torch.where(self.valid.view(shape), others.to(values.dtype), self.at(values))
        return values.scatter(1, self.positions.view(shape).expand_as(new), new)

    def visible(self, real: Tensor | None, slots: int | None = None) -> tuple[Tensor, Tensor | None]:
        """What is left to see, for `Embedded.at` and `Encoder.contextualize`, which a method of fewer places is given.

        Args:
            real: ``(B, N)`` the mask of the places, as in `Embedded`; None where nothing is padded.
            slots: the most real places that any row can have left, V, as `Masking.left` knows; None counts them, which
                waits for the device.

        Returns:
            Places ``(B, V)`` int64, ascending where they are real, and which of them are, ``(B, V)`` bool. The latter
            is None where no place is padding and every row has exactly `slots` left.

        Raises:
            InputError: nothing is left.
        """
        seen = ~self.mask if real is None else ~self.mask & (real > 0)
        if slots is None:
            slots = int(seen.sum(1).max())
        if slots < 1:
            raise InputError(
                "Everything is hidden, and nothing is left to see: lower the masking's mask_ratio, or leave out "
                "recordings of so few frames by data.min_seconds."
            )
        everywhere_as_many = real is None and slots + self.positions.shape[1] == self.mask.shape[1]
        left = Hidden.of_mask(seen, slots)
        return left.positions, None if everywhere_as_many else left.valid

    def replace(self, embedded: Embedded, vector: Tensor) -> Embedded:
        """What `Encoder.contextualize` is given in place of the true vectors ``(B, N, D')``.

        Args:
            embedded: vectors of all places.
            vector: ``(D',)``, what stands at every hidden place.
        """
        shown = torch.where(self.mask[..., None], vector.to(embedded.vectors.dtype), embedded.vectors)
        return embedded._replace(vectors=shown)


def all_real(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, N)`` bool, where vectors ``(B, N, D)`` are real, also where a mask of None says that all of them are."""
    return torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device) if mask is None else mask > 0


def require_mask_ratio(mask_ratio: float) -> None:
    """Raise `InputError` unless it is a part of a whole that is not empty."""
    if not 0.0 < mask_ratio <= 1.0:
        raise InputError(f"mask_ratio is {mask_ratio}; give a number above 0 and at most 1.")
