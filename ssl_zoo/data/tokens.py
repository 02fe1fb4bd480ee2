"""How texts become inputs, for whatever makes inputs of further texts."""

from typing import Any, NamedTuple


class Tokens(NamedTuple):
    """How texts become inputs.

    Attributes:
        tokenizer: a `ssl_zoo.data.text.tokenizer.TextTokenizer`, which turns them into token ids and back.
        length: tokens of an input at most.
        packed: whether training reads rows of that length, cut from documents one after the other.
    """

    tokenizer: Any
    length: int
    packed: bool = False
