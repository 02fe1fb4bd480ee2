"""Examples that show the same thing in two styles: the drawings of one emoji by two artists, say."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """Which examples show the same thing.

    Attributes:
        names: names of the styles.
        styles: ``(N,)`` int64, the number in `names` of every example's style.
        partners: ``(N,)`` int64, the position of the example that shows the same in another style; an example's own
            position where there is none.
    """

    names: list[str]
    styles: Tensor
    partners: Tensor

    def within(self, parts: Sequence[Tensor]) -> Self:
        """The pairs of which both lie in the same part; the examples of all others are without a partner.

        Args:
            parts: positions of the examples of each part, ``(n,)`` int64 each, none in two parts.
        """
        part_of = torch.full_like(self.partners, -1)
        for number, part in enumerate(parts):
            part_of[part] = number
        own = torch.arange(len(self.partners))
        together = (part_of >= 0) & (part_of == part_of[self.partners])
        return self._replace(partners=torch.where(together, self.partners, own))

    def of(self, chosen: Tensor) -> Self:
        """The pairs among some examples, which are numbered anew in this order.

        Args:
            chosen: ``(n,)`` int64, their positions.
        """
        places = torch.full_like(self.partners, -1)
        places[chosen] = torch.arange(len(chosen))
        partners = places[self.partners[chosen]]
        return self._replace(
            styles=self.styles[chosen], partners=torch.where(partners < 0, torch.arange(len(chosen)), partners)
        )

    @property
    def paired(self) -> Tensor:
        """``(N,)`` bool, which examples have a partner."""
        return self.partners != torch.arange(len(self.partners))
