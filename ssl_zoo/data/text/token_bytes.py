"""How many bytes of its text every token stands for, so that what a language model pays can be counted per byte."""

from functools import cached_property

import numpy as np
from tokenizers import Encoding, Tokenizer, pre_tokenizers


class TokenBytes:
    """Shares the bytes of a text out to its tokens and its end.

    A token stands for the UTF-8 bytes of the text from the end of the token before it to its own end, spaces and
    whatever else the tokenizer drops before it included; what follows the last token goes to the document's end. So
    the bytes of a document's tokens add up to those of its text. Where tokens are of bytes (byte-level BPE), each
    stands for its own; where several tokens make up one character otherwise, the first of them stands for it.

    Args:
        tokenizer: the tokenizer that splits texts.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def split(self, texts: list[str]) -> list[tuple[list[int], np.ndarray]]:
        """The ids of every text, and ``(ids + 1,)`` int64 bytes of its tokens and of its end."""
        if self._own is None:
            encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
            return [(found.ids, _shares(text, found)) for text, found in zip(texts, encodings, strict=True)]
        fast = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)  # which knows no offsets
        return [(found.ids, self._own_shares(text, found.ids)) for text, found in zip(texts, fast, strict=True)]

    def _own_shares(self, text: str, ids: list[int]) -> np.ndarray:
        assert self._own is not None
        shares = np.append(self._own[ids], 0)
        if shares.sum() != len(text.encode()):  # the text was changed before it was split, by a space in front, say
            return _shares(text, self.tokenizer.encode(text, add_special_tokens=False))
        return shares

    @cached_property
    def _own(self) -> np.ndarray | None:
        """Bytes of every token, by its id, where tokens are of bytes."""
        words = self.tokenizer.get_vocab(with_added_tokens=False)
        if not set(pre_tokenizers.ByteLevel.alphabet()) <= words.keys():
            return None
        added = {token: found.content for token, found in self.tokenizer.get_added_tokens_decoder().items()}
        own = np.zeros(max([*words.values(), *added]) + 1, dtype=np.int64)
        for word, token in words.items():
            own[token] = len(word)  # in that alphabet a character is a byte
        for token, word in added.items():
            own[token] = len(word.encode())
        return own


def _shares(text: str, encoding: Encoding) -> np.ndarray:
    ends = np.fromiter((end for _, end in encoding.offsets), dtype=np.int64, count=len(encoding.ids))
    ends = np.append(np.maximum.accumulate(ends), len(text))
    if not text.isascii():
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        widths = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
        ends = np.append(0, widths.cumsum())[ends]
    return np.diff(ends, prepend=0)
