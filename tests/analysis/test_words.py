import pytest
import torch

from ssl_zoo.analysis.words import read_language
from ssl_zoo.data.text.raw import texts_of
from ssl_zoo.data.text.tokenizer import train_tokenizer
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.encoders.text import BertEncoder

TEXTS = ["The Überraschung, cats; and the cat's überraschung.", "A cat: the end", "wortlos 日本語", "...!"]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_vectors_of_words_are_means_over_their_tokens_and_places(kind):
    tokenizer = train_tokenizer(kind, [*TEXTS, "the cat and the end"] * 3, 290 if kind == "bpe" else 60)
    tokens = Tokens(tokenizer, 64)
    torch.manual_seed(0)
    encoder = BertEncoder(tokenizer.vocabulary(), dim=16, depth=2, heads=2, max_length=64).eval()
    found = read_language(encoder, tokens, TEXTS, {"überraschung", "cat", "the", "absent", "cats"}, at_once=2)
    assert found.words == ["cat", "cats", "the", "überraschung"] and found.counts.tolist() == [2, 1, 3, 2]

    # One text alone, its tokens word by word: where a text is cut into words neither tokenizer looks beyond.
    pieces = ["The", " Überraschung", ",", " cats", ";", " and", " the", " cat", "'s", " überraschung", "."]
    ids = [tokenizer.splitter.encode(piece, add_special_tokens=False).ids for piece in pieces]
    batch = texts_of(TEXTS[:1], tokens)
    assert batch.inputs[0, 1:-1].tolist() == [token for each in ids for token in each]
    starts = [1 + sum(map(len, ids[:number])) for number in range(len(ids))]
    with torch.no_grad():
        layers = torch.stack(encoder(batch.inputs, batch.mask, layers=True).layers)[:, 0]
    both = [layers[:, starts[place] : starts[place] + len(ids[place])].mean(1) for place in (1, 9)]
    torch.testing.assert_close(found.of(["überraschung"])[:, 0], (both[0] + both[1]) / 2)
    assert len(ids[1]) > 1, "the word is one of several tokens"

    special = torch.tensor(tokenizer.vocabulary()["special"])
    rows = [texts_of([text], tokens) for text in TEXTS]
    real = [~torch.isin(row.inputs[0], special) for row in rows]
    with torch.no_grad():
        last = [encoder(row.inputs, row.mask).sequence[0][kept] for row, kept in zip(rows, real, strict=True)]
    torch.testing.assert_close(found.means[-1], torch.cat(last).mean(0))
    assert int(found.tokens.sum()) == sum(int(kept.sum()) for kept in real)


def test_what_is_cut_off_does_not_count():
    tokenizer = train_tokenizer("wordpiece", ["one two three four"] * 3, 100)
    encoder = BertEncoder(tokenizer.vocabulary(), dim=16, depth=1, heads=2, max_length=4).eval()
    found = read_language(encoder, Tokens(tokenizer, 64), ["one two three four"], {"one", "three", "four"})
    assert found.words == ["one", "three"]
