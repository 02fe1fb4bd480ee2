from itertools import permutations

import pytest
import torch

from ssl_zoo.analysis.alignment import align
from ssl_zoo.analysis.words import LanguageVectors, read_language
from ssl_zoo.errors import InputError
from ssl_zoo.probes.ranks import chance_of, mean_reciprocal_rank
from tests.analysis.planted import ENGLISH, GERMAN, TEXTS, PlantedEncoder, planted_tokens

DICTIONARY = {english: [german.lower()] for english, german in zip(ENGLISH, GERMAN, strict=True)}


def vectors(words: list[str], layers: torch.Tensor) -> LanguageVectors:
    ones = torch.ones(len(words), dtype=torch.int64)
    return LanguageVectors(words, ones, layers, layers.mean(1), ones)


def test_ranks_are_those_counted_by_hand():
    target = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    source = torch.tensor([[2.0, 0.1], [0.1, 3.0]])
    right = torch.tensor([[False, True, False, False], [True, False, False, True]])
    # By cosine the first word has its answer second; of the second word's two answers the better one is third.
    assert mean_reciprocal_rank(source, target, right) == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert mean_reciprocal_rank(source, 5 * target, right) == mean_reciprocal_rank(source, target, right)


def test_an_encoder_with_one_vector_for_all_ranks_the_right_ones_last():
    same = torch.ones(5, 3)
    assert mean_reciprocal_rank(same, same, torch.eye(5).bool()) == pytest.approx(1 / 5)
    assert mean_reciprocal_rank(0 * same, 0 * same, torch.eye(5).bool()) == pytest.approx(1 / 5)


def test_chance_is_the_mean_over_all_orders():
    right = torch.tensor([[True, False, False, False, False], [True, True, False, False, True]])
    by_hand = 0.0
    orders = list(permutations(range(5)))
    for row in right.tolist():
        by_hand += sum(1 / (1 + next(place for place, answer in enumerate(order) if row[answer])) for order in orders)
    assert chance_of(right) == pytest.approx(by_hand / len(orders) / 2)


def test_centring_recovers_languages_that_only_their_means_tell_apart():
    tokens = planted_tokens()
    encoder = PlantedEncoder(tokens)
    english = read_language(encoder, tokens, TEXTS["en"], set(ENGLISH))
    german = read_language(encoder, tokens, TEXTS["de"], {word.lower() for word in GERMAN})
    draw = torch.randn(2, 2, 1, encoder.dim, generator=torch.Generator().manual_seed(0))
    moved = [
        each._replace(layers=each.layers + 50 * by, means=each.means + 50 * by[:, 0])
        for each, by in zip((english, german), draw, strict=True)
    ]
    found = align(*moved, DICTIONARY)
    assert found.centred == [1.0, 1.0] and max(found.layers) < 0.8
    assert (found.words, found.among) == (8, 8) and found.chance == pytest.approx(sum(1 / k for k in range(1, 9)) / 8)


def test_words_that_both_languages_write_alike_are_left_out_on_either_side():
    layers = torch.eye(3)[None]
    found = align(
        vectors(["apt", "tree", "sky"], layers),
        vectors(["apt", "baum", "himmel"], layers),
        {"apt": ["apt"], "tree": ["baum", "apt"], "sky": ["nowhere"]},
    )
    assert (found.words, found.among, found.layers) == (1, 2, [1.0])
    with pytest.raises(InputError, match="No word occurs in one language"):
        align(vectors(["apt"], layers[:, :1]), vectors(["apt"], layers[:, :1]), {"apt": ["apt"]})
