import pytest
import torch

from ssl_zoo.analysis.shift import clipped_precision, shift_tokens
from ssl_zoo.analysis.words import read_language
from tests.analysis.planted import ENGLISH, GERMAN, PAIRS, TEXTS, PlantedBert, PlantedEncoder, planted_tokens


def test_the_shift_of_means_recovers_a_planted_translation():
    tokens = planted_tokens()
    encoder = PlantedEncoder(tokens)
    english, german = (
        read_language(encoder, tokens, TEXTS[language], words) for language, words in (("en", set()), ("de", set()))
    )
    # The layer that the head is given is the first one, whose means are a third of the last one's.
    english, german = (each._replace(means=each.means / 3) for each in (english, german))
    found = shift_tokens(PlantedBert(encoder), tokens, PAIRS, english, german, [0.0, 0.4, 1.0], at_once=5)
    nothing, little, whole = found
    assert (nothing.target_share, nothing.precision) == (little.target_share, little.precision) == (0, 0)
    assert (whole.target_share, whole.precision) == (1, 1)
    back = shift_tokens(PlantedBert(encoder), tokens, [pair[::-1] for pair in PAIRS], german, english, [1.0])[0]
    assert (back.target_share, back.precision) == (1, 1)


def test_each_token_counts_as_often_as_its_reference_has_it():
    predicted = [torch.tensor([1, 1, 1, 2]), torch.tensor([3]), torch.tensor([], dtype=torch.int64)]
    references = [torch.tensor([1, 1, 9]), torch.tensor([3, 3]), torch.tensor([4])]
    assert clipped_precision(predicted, references) == pytest.approx((2 + 1) / 5)
    assert clipped_precision([torch.tensor([], dtype=torch.int64)], [torch.tensor([], dtype=torch.int64)]) == 0


def test_the_planted_words_are_one_token_each():
    tokens = planted_tokens()
    for word in ENGLISH + GERMAN:
        assert len(tokens.tokenizer.splitter.encode(word, add_special_tokens=False).ids) == 1
