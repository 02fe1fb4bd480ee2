"""Vocabulary: what encoders and methods know of a tokenizer, whoever made it."""

from typing import TypedDict


class Vocabulary(TypedDict):
    """Facts about a tokenizer, in plain values that every checkpoint can hold.

    Attributes:
        size: number of token ids, the rows of an embedding.
        pad: id that fills a row on the right.
        begin: id that opens a document; None when documents only have an end.
        end: id that closes a document; every whole document has it once, as its last token.
        mask: id that hides a token in masked language modelling; None when the tokenizer has none.
        unknown: id of what cannot be written in tokens; None when everything can.
        special: every id that stands for no text, ascending: never masked, never drawn as a random token.
        continuations: ids that continue a word rather than begin one, ascending, for whole-word masking.
        hash: sixteen hex digits that differ between tokenizers that turn text into different ids.
    """

    size: int
    pad: int
    begin: int | None
    end: int
    mask: int | None
    unknown: int | None
    special: list[int]
    # Without the type of its items: jsonargparse checks them one by one, in a time that grows with their square.
    continuations: list
    hash: str
