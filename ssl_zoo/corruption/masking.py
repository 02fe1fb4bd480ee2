"""What every way to draw hidden places has in common."""

from abc import ABC, abstractmethod

from torch import Tensor

from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.errors import InputError
from ssl_zoo.rebuilding import Rebuildable


class Masking(Rebuildable, ABC):
    """Draws the places of a batch that an encoder does not see, anew at every step; its arguments say how.

    YAML names one where a method has `masking`. What a row gets depends on its key and on its own places alone, and no
    shape on what is drawn. Where a row has several places that may be hidden, at least one of them is and at least one
    is not, whatever the ratio and the draws; only a ratio of 1 leaves nothing to see. A row of one place cannot have
    both, and a batch of such rows alone is refused.
    """

    @abstractmethod
    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K.

        Args:
            places: number of places of the longest row, N.
        """

    def most_spans(self, places: int) -> int:
        """The most spans that hidden places form in a row of at most so many, all of which may be hidden.

        Args:
            places: number of places of the longest row, N.
        """
        return min(self.slots(places), (places + 1) // 2)

    def left(self, places: int) -> int:
        """The most real places of a row of at most so many that can be left to see.

        Args:
            places: number of places of the longest row, N.
        """
        return places

    @abstractmethod
    def __call__(self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None) -> Hidden:
        """Draws the places of a batch.

        Args:
            maskable: ``(B, N)`` bool, True where a place may be hidden.
            keys: ``(B,)`` int64, one per row.
            grid: rows and columns of the places where these lie in a plane, as `Encoder.grid` has them; None in a line.
        """


def require_several(masking: str, places: int) -> None:
    """Refuses a batch whose longest row has a single place: nothing could be predicted from the others.

    Args:
        masking: name of what hides places.
        places: number of places of the longest row.

    Raises:
        InputError: it has one.
    """
    if places == 1:
        raise InputError(
            f"{masking}: inputs of a single place have nothing to see beside what is hidden: make more places of one, "
            "of images by a smaller patch_size or stride, or leave short recordings out by data.min_seconds."
        )
