"""The bytes of a text that its tokens stand for."""

from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from ssl_zoo.data.text.special_tokens import find_special_ids
from ssl_zoo.data.text.tokenizer import TextTokenizer, train_tokenizer

TEXTS = [
    "The moon, the star.",
    "  two  spaces\n\n and lines\r\n ",
    "a naïve café: 日本語 🙂🙂 ½",
    "",
    " \n",
    "</s> [SEP] <s>",
    "bread\0milk\u200b\u2028soup",
]


def word_level() -> TextTokenizer:
    words = ["<unk>", "<s>", "</s>", *sorted({word for text in TEXTS[:3] for word in text.split()})[2:]]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return TextTokenizer(backend, find_special_ids(backend))


def unigram() -> TextTokenizer:
    pieces = ["<unk>", "<s>", "</s>", "▁", "▁the", "mo", "on", "é", *"abcdefghijklmnoprstuvwxyz<>/[]🙂"]
    backend = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return TextTokenizer(backend, find_special_ids(backend))


def with_a_space_in_front() -> TextTokenizer:
    """As RoBERTa's, so that its bytes are not those of the text."""
    made = train_tokenizer("bpe", TEXTS * 5, 300)
    made.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.backend.add_tokens([AddedToken("café")])
    return TextTokenizer(made.backend, made.special)


KINDS: dict[str, Callable[[], TextTokenizer]] = {
    **{kind: (lambda kind=kind: train_tokenizer(kind, TEXTS * 5, 300)) for kind in ("wordpiece", "bpe", "characters")},
    "word level": word_level,
    "unigram": unigram,
    "a space in front": with_a_space_in_front,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_documents_bytes_are_those_of_its_text_and_its_begin_has_none(kind: str) -> None:
    tokenizer = KINDS[kind]()
    ids, lengths, shares = tokenizer.encode_with_bytes(TEXTS)
    assert ids.shape == shares.shape and (shares >= 0).all()
    places = lengths.cumsum()[:-1]
    for text, document, of_its_tokens in zip(TEXTS, np.split(ids, places), np.split(shares, places), strict=True):
        assert of_its_tokens.sum() == len(text.encode())
        assert document[0] == tokenizer.special["begin"] and of_its_tokens[0] == 0
    assert [len(found) for found in tokenizer.encode_with_bytes([])] == [0, 0, 0]


def shares_of(tokenizer: TextTokenizer, text: str) -> list[int]:
    return tokenizer.encode_with_bytes([text])[2].tolist()


def test_a_token_stands_for_what_is_dropped_before_it_too() -> None:
    assert shares_of(word_level(), " naïve  moon,\n") == [0, 7, 7, 1]  # begin, naïve, moon, end
    pieces = train_tokenizer("wordpiece", ["moon star"] * 5, 100)
    assert len(pieces.encode(["Moon  star!"])[0]) == 5  # begin, moon, star, something unknown, end
    assert shares_of(pieces, "Moon  star! ") == [0, 4, 6, 1, 1]


def test_characters_and_bytes_stand_for_themselves() -> None:
    assert shares_of(train_tokenizer("characters", TEXTS, 300), "aé日🙂\n") == [0, 1, 2, 3, 4, 1, 0]
    assert shares_of(train_tokenizer("bpe", ["xyz"], 300), "aé日🙂") == [0, *[1] * 10, 0]
    merged = train_tokenizer("bpe", ["日日 日日"] * 9, 300)
    assert sum(shares_of(merged, "日日 日日")) == 13 and max(shares_of(merged, "日日 日日")) > 3
