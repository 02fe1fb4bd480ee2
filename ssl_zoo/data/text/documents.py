"""Parts of a corpus as examples: documents one by one, rows packed from them, or texts with their translations."""

import warnings

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.cache.mapped import MappedArray
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.text.corpus import Corpus
from ssl_zoo.data.text.sources.base import UNLABELLED
from ssl_zoo.errors import InputError


class PackedRows(Examples):
    """Rows without padding, cut from documents that lie one after the other; what is left over at the end is dropped.

    Args:
        tokens: tokens of all documents.
        shares: bytes of text that each token stands for.
        length: tokens per row.
        end: id that closes a document.
    """

    labels = None
    in_source = False

    def __init__(self, tokens: MappedArray, shares: MappedArray, length: int, end: int) -> None:
        self.tokens, self.shares, self.length, self.end = tokens, shares, length, end

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.tokens) // self.length

    def __getitems__(self, positions: list[int]) -> Batch:
        """The rows at these positions; the mask numbers the documents of a row, or is None if every row has one."""
        rows, shares = (
            column.values[: len(self) * self.length].reshape(-1, self.length)[positions].astype(np.int64)
            for column in (self.tokens, self.shares)
        )
        ends = rows == self.end
        mask = None
        if ends[:, :-1].any():
            mask = torch.from_numpy(1 + ends.cumsum(1) - ends)  # a document's end still belongs to it
        fields = {"bytes": torch.from_numpy(shares)}
        return Batch(torch.from_numpy(rows), mask, None, torch.tensor(positions), fields)


def documents_of_rows(corpus: Corpus, chosen: np.ndarray, length: int) -> np.ndarray:
    """The document that the first token of every packed row belongs to.

    Args:
        corpus: all documents.
        chosen: ``(n,)`` int64, ascending positions of the documents that are packed.
        length: tokens per row.

    Returns:
        ``(N,)`` int64, positions in `corpus`.
    """
    ends = np.diff(corpus.offsets)[chosen].cumsum()
    return chosen[np.searchsorted(ends, np.arange(ends[-1] // length) * length, "right")]


class Documents(Examples):
    """Documents one by one, padded on the right to the longest of their batch.

    Args:
        corpus: all documents.
        chosen: ``(N,)`` int64, positions in `corpus` of the examples; they become `Batch.index`.
        length: the most tokens of a document; a longer one is cut, and has no end.
    """

    def __init__(self, corpus: Corpus, chosen: Tensor, length: int) -> None:
        self.tokens, self.shares, self.chosen, self.length = corpus.tokens, corpus.bytes, chosen, length
        self.pad = corpus.tokenizer.special["pad"]
        self.starts = corpus.offsets[:-1][chosen.numpy()]
        self.lengths: Tensor = torch.from_numpy(np.minimum(corpus.offsets[1:][chosen.numpy()] - self.starts, length))
        labels = torch.from_numpy(corpus.labels[chosen.numpy()])
        self.labels = None if (labels == UNLABELLED).any() else labels

    @property
    def positions(self) -> Tensor:
        """See `Examples`."""
        return self.chosen

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> Batch:
        """The documents at these positions; the mask is True where a token is real, or None if all are."""
        local = np.array(positions)
        lengths = self.lengths.numpy()[local, None]
        places = np.arange(lengths.max())
        real = places < lengths
        where = self.starts[local, None] + np.minimum(places, lengths - 1)
        inputs, shares = self.tokens.values[where].astype(np.int64), self.shares.values[where].astype(np.int64)
        inputs[~real], shares[~real] = self.pad, 0
        mask = None if real.all() else torch.from_numpy(real)
        labels = None if self.labels is None else self.labels[local]
        fields = {"bytes": torch.from_numpy(shares)}
        return Batch(torch.from_numpy(inputs), mask, labels, self.chosen[local], fields)


class Pairs(Examples):
    """Documents with the ones that follow them in the corpus, their translations.

    Args:
        corpus: all documents, of a source of pairs.
        chosen: ``(N,)`` int64, positions in `corpus` of the texts that are translated; they become `Batch.index`.
        length: the most tokens of a document.
    """

    labels = None

    def __init__(self, corpus: Corpus, chosen: Tensor, length: int) -> None:
        self.sources, self.targets = (Documents(corpus, each, length) for each in (chosen, chosen + 1))
        self.lengths: Tensor = self.sources.lengths

    @property
    def positions(self) -> Tensor:
        """See `Examples`."""
        return self.sources.chosen

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.sources)

    def __getitems__(self, positions: list[int]) -> Batch:
        """The texts at these positions, with their translations among the fields."""
        batch, other = self.sources.__getitems__(positions), self.targets.__getitems__(positions)
        real = torch.ones_like(other.inputs, dtype=torch.bool) if other.mask is None else other.mask
        return batch._replace(labels=None, fields={**(batch.fields or {}), "target": other.inputs, "target_mask": real})


def short_pairs(corpus: Corpus, parts: list[Tensor], length: int, called: str) -> list[Tensor]:
    """Those pairs of every part in which no text has more than `length` tokens: a translation is of a whole text.

    Args:
        corpus: all documents, of a source of pairs.
        parts: ``(N,)`` int64 each, positions of the texts that are translated.
        length: the most tokens of a document.
        called: the source, for messages.

    Raises:
        InputError: nothing is left of a part.
    """
    sizes = torch.from_numpy(np.diff(corpus.offsets))
    short = [chosen[(sizes[chosen] <= length) & (sizes[chosen + 1] <= length)] for chosen in parts]
    if not all(map(len, short)):
        raise InputError(
            f"{called} has no pair of texts of at most {length} tokens in one of its parts: raise data.length, or give "
            "more pairs."
        )
    before, after = sum(map(len, parts)), sum(map(len, short))
    if after < before:
        warnings.warn(
            f"{called}: left out {before - after:,} of {before:,} pairs, of which a text has more than {length} "
            "tokens, the data's length.",
            stacklevel=2,
        )
    return short
