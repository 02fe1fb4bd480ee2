"""From words and characters to tokens, on hand-made offsets and on every kind of tokenizer."""

import pytest
import torch

from ssl_zoo.data.text.tokenizer import TextTokenizer, train_tokenizer
from ssl_zoo.finetuning.tokens import (
    Tokenized,
    TokenizedExamples,
    covering_pieces,
    first_pieces,
    split_texts,
    wrap,
    wrap_pair,
)

TEXTS = ["the quick brown fox jumps over the lazy dog", "unbelievable foxes, jumping quickly", "it's a dog's life"] * 9


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "characters"])
def tokenizer(request) -> TextTokenizer:
    return train_tokenizer(request.param, TEXTS, 300)


def test_first_pieces_of_a_hand_made_case():
    words = ["In", "New", "York", "??", "no"]  # joined: "In New York ?? no"
    # In | _N | ew | Yo | rk | no: the second takes its space along, the fourth word has no token.
    offsets = [(0, 2), (2, 4), (4, 6), (7, 9), (9, 11), (15, 17)]
    assert first_pieces(words, offsets) == [0, 1, 3, None, 5]


def test_two_words_in_one_token_are_one_place():
    assert first_pieces(["a", "b", "c"], [(0, 3), (4, 5)]) == [0, None, 1]


def test_words_begin_where_their_first_piece_does(tokenizer):
    words = ["Unbelievable", "dog's", "jumps", ",", "foxily", "the"]
    text = " ".join(words)
    (pieces,) = split_texts([text], tokenizer)
    found = first_pieces(words, pieces.offsets)
    starts = [text.index(word) for word in words]
    for piece, start, word in zip(found, starts, words, strict=True):
        assert piece is not None
        begin, end = pieces.offsets[piece]
        assert text[begin:end].strip() and text[begin:end].strip() == word[: end - start]
        # The piece before it, if any, has ended.
        assert piece == 0 or pieces.offsets[piece - 1][1] <= start


def test_answers_come_back_from_the_pieces_that_cover_them(tokenizer):
    context = "The lazy dog's fox  jumps, unbelievably quickly."
    (pieces,) = split_texts([context], tokenizer)
    for answer in ("lazy", "dog's fox", "jumps, unbelievably quickly", "The", "."):
        start = context.index(answer)
        first, last = covering_pieces(start, start + len(answer), pieces.offsets)
        assert context[pieces.offsets[first][0] : pieces.offsets[last][1]].strip() == answer


def test_an_answer_within_a_word_takes_the_pieces_it_touches():
    offsets = [(0, 3), (3, 8), (9, 12)]
    assert covering_pieces(4, 5, offsets) == (1, 1)
    assert covering_pieces(2, 10, offsets) == (0, 2)
    assert covering_pieces(3, 8, offsets) == (1, 1)
    assert covering_pieces(8, 9, offsets) is None


def test_texts_are_wrapped_and_cut(tokenizer):
    begin, end = tokenizer.special["begin"], tokenizer.special["end"]
    assert wrap([7, 8, 9], tokenizer, 9) == ([begin, 7, 8, 9, end], 1)
    assert wrap([7, 8, 9], tokenizer, 4) == ([begin, 7, 8, end], 1)
    assert wrap_pair([7, 8], [9], tokenizer, 9) == ([begin, 7, 8, end, 9, end], 4)


def test_a_tokenizer_without_a_begin():
    tokenizer = train_tokenizer("bpe", TEXTS, 300)
    tokenizer.special["begin"] = None
    end = tokenizer.special["end"]
    assert wrap([7, 8, 9], tokenizer, 3) == ([7, 8, end], 0)
    assert wrap_pair([7, 8], [9], tokenizer, 9) == ([7, 8, end, 9, end], 3)


@pytest.mark.parametrize("length", range(3, 15))
@pytest.mark.parametrize(("first", "second"), [(5, 5), (1, 9), (9, 1), (0, 7), (4, 6)])
def test_of_two_texts_the_longer_is_cut_first(length, first, second):
    tokenizer = train_tokenizer("characters", ["a"], 6)
    ids, start = wrap_pair([10] * first, [11] * second, tokenizer, length)
    kept = [ids.count(10), ids.count(11)]
    a, b = first, second
    while a + b > max(0, length - 3):  # one token at a time
        if a > b:
            a -= 1
        else:
            b -= 1
    assert kept == [a, b] and len(ids) == a + b + 3 <= max(length, 3)
    assert ids[start : start + b] == [11] * b and ids[-1] == tokenizer.special["end"]


def test_a_batch_is_padded_on_the_right_and_padding_is_no_place():
    ids = [torch.tensor([5, 6, 7]), torch.tensor([8])]
    places = [torch.tensor([True, False, True]), torch.tensor([True])]
    examples = TokenizedExamples([Tokenized(i, i - 5, p) for i, p in zip(ids, places, strict=True)], pad=3)
    batch = examples.__getitems__([1, 0])
    assert batch.inputs.tolist() == [[8, 3, 3], [5, 6, 7]]
    assert batch.mask.tolist() == [[True, False, False], [True, True, True]]
    assert batch.places.tolist() == [[True, False, False], [True, False, True]]
    assert batch.targets.tolist() == [[3, 0, 0], [0, 1, 2]]
    assert examples.__getitems__([0, 0]).mask is None
