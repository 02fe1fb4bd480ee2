"""From characters and words to tokens: texts as an encoder reads them, and where in them things are."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.tasks.examples import TaskBatch, TaskExamples

Offsets = list[tuple[int, int]]


class Tokenized(NamedTuple):
    """One example of a task on texts.

    Attributes:
        ids: ``(T,)`` int64 with begin and end.
        target: int64; the class ``(1,)``, the tag of every token ``(T,)``, or first and last token ``(2,)``.
        places: ``(T,)`` bool, the tokens that are classified; all False where the whole example is.
    """

    ids: Tensor
    target: Tensor
    places: Tensor


class TokenizedExamples(TaskExamples):
    """Examples that are fetched a batch at a time, padded on the right to the longest of their batch.

    Args:
        examples: any number.
        pad: id that fills a row.
    """

    def __init__(self, examples: list[Tokenized], pad: int) -> None:
        self.examples, self.pad = examples, pad
        self.lengths = torch.tensor([len(example.ids) for example in examples])

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitems__(self, positions: list[int]) -> TaskBatch:
        """The examples at these positions."""
        ids, targets, places = zip(*(self.examples[position] for position in positions), strict=True)
        lengths = torch.tensor([len(row) for row in ids])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        return TaskBatch(
            pad_sequence(list(ids), batch_first=True, padding_value=self.pad),
            None if mask.all() else mask,
            pad_sequence(list(targets), batch_first=True),
            pad_sequence(list(places), batch_first=True),
        )


class Pieces(NamedTuple):
    """The tokens of one text, without begin and end.

    Attributes:
        ids: token ids.
        offsets: the first character of every token in the text, and the one after its last.
    """

    ids: list[int]
    offsets: Offsets


def split_texts(texts: list[str], tokenizer: TextTokenizer) -> list[Pieces]:
    """Cuts texts into tokens."""
    encodings = tokenizer.splitter.encode_batch(texts, add_special_tokens=False)
    return [Pieces(encoding.ids, encoding.offsets) for encoding in encodings]


def wrap(ids: list[int], tokenizer: TextTokenizer, length: int) -> tuple[list[int], int]:
    """`begin text end`, the text cut at its end to make `length` tokens at most.

    Returns:
        All ids, and the position of the text's first token among them.
    """
    opening = [] if tokenizer.special["begin"] is None else [tokenizer.special["begin"]]
    kept = ids[: max(0, length - len(opening) - 1)]
    return [*opening, *kept, tokenizer.special["end"]], len(opening)


def wrap_pair(first: list[int], second: list[int], tokenizer: TextTokenizer, length: int) -> tuple[list[int], int]:
    """`begin first end second end`, with `length` tokens at most.

    Where they are too many, texts are cut at their ends: the longer one until both are equally long, then both.

    Returns:
        All ids, and the position of the second text's first token among them.
    """
    end = tokenizer.special["end"]
    room = max(0, length - len(wrap([], tokenizer, length)[0]) - 1)
    first = first[: max(room - len(second), (room + 1) // 2)]
    second = second[: room - len(first)]
    opening, _ = wrap(first, tokenizer, length)
    return [*opening, *second, end], len(opening)


def first_pieces(words: list[str], offsets: Offsets) -> list[int | None]:
    """The token that each word begins with, given the tokens of the words joined by spaces.

    Args:
        words: none is empty.
        offsets: offsets of the tokens in the joined text; a token may begin with the space before a word.

    Returns:
        Positions in `offsets`, ascending; None for a word that no token stands for, or that shares its only one with
        the word before.
    """
    found: list[int | None] = []
    start = token = 0
    for word in words:
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        if token < len(offsets) and offsets[token][0] < start + len(word):
            found.append(token)
            token += 1
        else:
            found.append(None)
        start += len(word) + 1
    return found


def covering_pieces(start: int, end: int, offsets: Offsets) -> tuple[int, int] | None:
    """The first and the last token that share a character with a part of the text; None if there is none.

    Args:
        start: the part's first character.
        end: the character after its last.
        offsets: offsets of the tokens in the text.
    """
    inside = [token for token, (a, b) in enumerate(offsets) if max(a, start) < min(b, end)]
    return (inside[0], inside[-1]) if inside else None
