"""Texts that a method has written, as tokens; whoever has the tokenizer makes words of them."""

from typing import NamedTuple

from torch import Tensor


class Texts(NamedTuple):
    """Texts, some of whose tokens a method has written.

    Attributes:
        ids: ``(B, L)`` int64 token ids; special tokens are not shown.
        own: ``(B, L)`` bool, whether the method has written a token itself; the others it was given.
    """

    ids: Tensor
    own: Tensor
