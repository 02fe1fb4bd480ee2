"""Texts as a user has them as inputs of an encoder."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.errors import InputError


def texts_of(raw: Any, tokens: Tokens) -> Batch:
    """Texts as a source of documents would give them, each with its begin and end, padded on the right.

    Args:
        raw: a text or a list of texts; what is longer than the tokens of an input is cut and has no end.
        tokens: how texts become inputs.

    Raises:
        InputError: there is none, or something that is no text.
    """
    if not isinstance(raw, Iterable):
        raise InputError(f"A {type(raw).__name__} is no text: give Python's str, or a list of some.")
    texts = [raw] if isinstance(raw, str) else list(raw)
    if not texts:
        raise InputError("There is no text to embed: give one, or a list of some.")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"Text {number} is a {type(text).__name__}: give texts as Python's str.")
    ids, lengths = tokens.tokenizer.encode(texts)
    ends = np.cumsum(lengths)
    kept = np.minimum(lengths, tokens.length)
    real = np.arange(kept.max()) < kept[:, None]
    inputs = np.full(real.shape, tokens.tokenizer.special["pad"], dtype=np.int64)
    for row, end, length, most in zip(inputs, ends, lengths, kept, strict=True):
        row[:most] = ids[end - length : end][:most]
    mask = None if real.all() else torch.from_numpy(real)
    return Batch(torch.from_numpy(inputs), mask, None, torch.arange(len(texts)))
