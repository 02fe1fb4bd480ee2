"""The vectors that an encoder has of words: the mean over all places where a word stands, of every layer."""

import re
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.text.raw import texts_of
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.encoders.text_base import TextEncoder

WORD = re.compile(r"[^\W\d_]+")


class LanguageVectors(NamedTuple):
    """What an encoder makes of the texts of one language.

    Attributes:
        words: words in lower case, those of the wanted ones that occur.
        counts: ``(W,)`` int64, at how many places each stands.
        layers: ``(L, W, D)`` float32, mean vectors of the words, from what enters the first layer to the last; a word
            of several tokens at a place counts there as their mean.
        means: ``(L, D)`` float32, mean vectors of all tokens but special ones.
        tokens: ``(V,)`` int64, how often each token occurs; special ones do not.
    """

    words: list[str]
    counts: Tensor
    layers: Tensor
    means: Tensor
    tokens: Tensor

    def of(self, words: list[str]) -> Tensor:
        """``(L, n, D)`` vectors of some of the words, in the order given."""
        numbers = {word: number for number, word in enumerate(self.words)}
        return self.layers[:, [numbers[word] for word in words]]


@torch.no_grad()
def read_language(
    encoder: TextEncoder, tokens: Tokens, texts: list[str], wanted: set[str], at_once: int = 64
) -> LanguageVectors:
    """Encodes texts, and averages the vectors of words over all places where they stand.

    A word is a stretch of letters, in any capitals. What a text has beyond the tokens of an input does not count.

    Args:
        encoder: in evaluation mode, with layers that are all as wide as the last.
        tokens: how texts become inputs of the encoder.
        texts: texts of one language, not empty.
        wanted: words in lower case whose vectors are asked for.
        at_once: texts of a batch.
    """
    device = encoder.token_embedding.weight.device
    texts = sorted(texts, key=len)  # so that little has to be padded
    words = sorted(wanted & {word.lower() for text in texts for word in WORD.findall(text)})
    numbers = {word: number for number, word in enumerate(words)}
    counts = torch.zeros(len(words), dtype=torch.int64)
    sums = torch.zeros(encoder.num_layers, len(words), encoder.dim, device=device)
    totals = torch.zeros(encoder.num_layers, encoder.dim, device=device)
    occurring = torch.zeros(encoder.vocabulary["size"], dtype=torch.int64)
    special = torch.tensor(encoder.vocabulary["special"])
    length = min(tokens.length, encoder.max_length)
    for first in range(0, len(texts), at_once):
        some = texts[first : first + at_once]
        batch = texts_of(some, tokens._replace(length=length))
        mask = None if batch.mask is None else batch.mask.to(device)
        layers = torch.stack(encoder(batch.inputs.to(device), mask, layers=True).layers).float()
        real = (
            ~torch.isin(batch.inputs, special)
            if batch.mask is None
            else batch.mask & ~torch.isin(batch.inputs, special)
        )
        totals += layers[:, real.to(device)].sum(1)
        occurring += batch.inputs[real].bincount(minlength=len(occurring))
        rows, places, of_words, weights = _places_of_words(some, tokens, numbers, batch.inputs.shape[1])
        counts += torch.bincount(of_words, weights, len(counts)).round().long()
        vectors = layers[:, rows.to(device), places.to(device)] * weights.float().to(device)[:, None]
        sums.index_add_(1, of_words.to(device), vectors)
    kept = counts > 0
    return LanguageVectors(
        [word for word, there in zip(words, kept.tolist(), strict=True) if there],
        counts[kept],
        (sums.cpu() / counts[:, None])[:, kept],
        totals.cpu() / occurring.sum(),
        occurring,
    )


def _places_of_words(
    texts: list[str], tokens: Tokens, numbers: dict[str, int], width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the tokens of some words stand in a batch.

    Args:
        texts: the texts of the batch.
        tokens: how they became inputs.
        numbers: the words, and the number of each.
        width: tokens of a row; what lies beyond is left out, and with it a word that is cut there.

    Returns:
        Row, place and number of the word of every such token, ``(n,)`` int64, and its weight, ``(n,)`` float64: one
        over the number of tokens that the word has there.
    """
    begin = 0 if tokens.tokenizer.special["begin"] is None else 1
    found: list[tuple[int, int, int, float]] = []
    for row, text in enumerate(texts):
        owner = np.full(len(text), -1)
        spans = [match for match in WORD.finditer(text) if match.group().lower() in numbers]
        for number, match in enumerate(spans):
            owner[match.start() : match.end()] = number
        pieces: list[list[int]] = [[] for _ in spans]
        encoding = tokens.tokenizer.splitter.encode(text, add_special_tokens=False)
        for place, (start, end) in enumerate(encoding.offsets, start=begin):
            # A token may take the space before a word along: its last character says whose it is.
            if end > start and owner[end - 1] >= 0:
                pieces[owner[end - 1]].append(place)
        for match, each in zip(spans, pieces, strict=True):
            if each and each[-1] < width:
                found += [(row, place, numbers[match.group().lower()], 1 / len(each)) for place in each]
    columns: list[tuple[float, ...]] = list(zip(*found, strict=True)) or [(), (), (), ()]
    rows, places, words, weights = columns
    return (
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(places, dtype=torch.int64),
        torch.tensor(words, dtype=torch.int64),
        torch.tensor(weights, dtype=torch.float64),
    )
