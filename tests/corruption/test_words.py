"""Words and stretches of words, by loops; tests of tokens hold what is hidden to BERT's shares."""

import math

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.corruption.words import (
    LONGEST_WORD,
    RandomNGrams,
    RandomWords,
    RandomWordSpans,
    WordMasking,
    Words,
    lengths,
    stretches,
)
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys

KINDS = [RandomWords, RandomNGrams, RandomWordSpans]
ROWS, PLACES = 400, 49


def keys(rows: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def texts(rows: int = ROWS, places: int = PLACES, pieces: float = 0.4, ends: float = 0.05) -> Words:
    """Rows of several texts in words of several pieces."""
    generator = torch.Generator().manual_seed(0)
    follows = torch.rand(rows, places - 1, generator=generator) >= ends
    return Words.of(follows, torch.rand(rows, places - 1, generator=generator) < pieces)


def test_a_words_places_know_where_it_begins():
    follows, nowhere = torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.bool)
    words = Words.of(follows, torch.tensor([[True, False, True, True], [False] * 4]))
    assert words.begin.tolist() == [[0, 0, 2, 2, 2], [0, 1, 2, 3, 4]]
    assert words.apart.tolist() == [[True] + [False] * 4] * 2
    # A further piece that has no word before it begins one.
    alone = Words.of(nowhere, follows)
    assert alone.begin.tolist() == [[0, 1, 2, 3, 4]] * 2 and alone.apart.all()
    long = torch.ones(1, 2 * LONGEST_WORD, dtype=torch.bool)
    begin = Words.of(long, long).begin[0].tolist()
    assert begin == [place - place % LONGEST_WORD for place in range(2 * LONGEST_WORD + 1)]


@pytest.mark.parametrize("places", [1, 2, 7, 8, 9, PLACES])
def test_stretches_are_those_of_a_loop(places):
    words = texts(50, places)
    sizes, first = torch.randint(1, 6, (2, 50, places), generator=torch.Generator().manual_seed(1))
    found = stretches(words, sizes, first)
    for row in range(50):
        begin, left, word, expected = 0, 0, -1, []
        for place in range(places):
            if int(words.begin[row, place]) == place:  # a new word
                word += 1
                if left == 0 or words.apart[row, place]:
                    begin, left = place, int((first if words.apart[row, place] else sizes)[row, word])
                left -= 1
            expected.append(begin)
        assert found[row].tolist() == expected


@pytest.mark.parametrize(
    ("masking", "share"),
    [
        (RandomNGrams(0.15), lambda n: (6 / 11, 3 / 11, 2 / 11)[n - 1]),  # 1/n of 1 + 1/2 + 1/3
        (RandomNGrams(0.15, longest=2), lambda n: (2 / 3, 1 / 3)[n - 1]),
        (RandomWordSpans(0.15), lambda n: 0.2 * 0.8 ** (n - 1) / (1 - 0.8**10)),
        (RandomWordSpans(0.15, stop=0.5, longest=4), lambda n: 0.5**n / (1 - 0.5**4)),
    ],
    ids=["n-grams", "pairs", "spans", "short spans"],
)
def test_lengths_have_the_papers_shares(masking, share):
    count = 200_000
    drawn, left = lengths(masking.shares, keys(1000), count // 1000)
    assert set(drawn.unique().tolist()) == set(range(1, masking.longest + 1))
    for n in range(1, masking.longest + 1):
        expected = share(n)
        assert abs(float((drawn == n).double().mean()) - expected) < 5 * (expected * (1 - expected) / count) ** 0.5
        # What is left of one behind a word drawn at random: long ones have more words.
        mean = sum(k * share(k) for k in range(1, masking.longest + 1))
        expected = sum(share(k) for k in range(n, masking.longest + 1)) / mean
        assert abs(float((left == n).double().mean()) - expected) < 5 * (expected * (1 - expected) / count) ** 0.5
    if masking.longest == 10:
        assert float(drawn.double().mean()) == pytest.approx(3.8, abs=0.03)  # section 3.1 of SpanBERT


def runs(mask: torch.Tensor) -> list[int]:
    """How many places lie in a row, of every run of hidden ones."""
    edges = F.pad(mask.long(), (1, 1)).diff(dim=1)
    begins, ends = ((edges == sign).nonzero() for sign in (1, -1))
    return (ends[:, 1] - begins[:, 1]).tolist()


def test_words_in_a_row_are_hidden_as_often_as_the_papers_have_it():
    """In long rows of which little is hidden few stretches are neighbours, and few are cut."""
    length = 2000
    follows = torch.ones(200, length - 1, dtype=torch.bool)
    words, everything = Words.of(follows, ~follows), torch.ones(200, length, dtype=torch.bool)
    for masking, mean in ((RandomWords(0.02), 1.0), (RandomNGrams(0.02), 18 / 11), (RandomWordSpans(0.02), 3.797)):
        found = runs(masking(everything, keys(200), words=words).mask)
        # A run goes on in another stretch about as often as a place is hidden.
        assert sum(found) / len(found) == pytest.approx(mean, rel=0.05)
        assert masking.slots(length) == math.ceil(0.02 * length) + LONGEST_WORD


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_hidden_whole_and_stretches_end_with_their_text(kind):
    words = texts()
    maskable = torch.rand(ROWS, PLACES, generator=torch.Generator().manual_seed(2)) < 0.98
    # What may not be hidden is apart on both sides, as in `TokenCorruption`.
    apart = ~maskable | F.pad(~maskable, (1, 0))[:, :-1]
    words = Words.of(~(words.apart | apart)[:, 1:], words.begin[:, 1:] < torch.arange(1, PLACES))
    masking = kind(0.3)
    mask = masking(maskable, keys(ROWS), words=words).mask
    assert torch.equal(mask, mask.gather(1, words.begin))  # a place is hidden where its word's first one is
    assert mask.any(1).all() and not (mask & ~maskable).any()
    # From where a stretch begins its words are hidden one after the other: only of one in a row the last are left.
    group = masking.together(keys(ROWS), words)
    assert torch.equal(group, group.gather(1, words.begin))
    begins = group == torch.arange(PLACES)
    assert begins[words.apart].all()
    went_on = mask[:, 1:] | ~mask[:, :-1] | begins[:, 1:]
    assert int((~went_on).sum(1).max()) <= 1
    assert not (mask & ~mask.gather(1, group)).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", [0.3, 0.9, 0.999])
def test_of_several_words_one_is_left(kind, ratio):
    words = texts(2000, 8, 0.5, 0.0)
    several = (words.begin != 0).any(1)
    mask = kind(ratio)(torch.ones(2000, 8, dtype=torch.bool), keys(2000), words=words).mask
    assert mask.any(1).all() and not mask[several].all(1).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.75, 1.0])
def test_slots_hold_all_hidden_places_whatever_is_drawn(kind, ratio):
    real = torch.arange(PLACES) < torch.arange(PLACES + 1).repeat(8)[:, None]
    drawn = kind(ratio)(real, keys(ROWS), words=texts(pieces=0.6))
    slots = min(PLACES, math.ceil(ratio * PLACES) + LONGEST_WORD)
    assert drawn.positions.shape == drawn.valid.shape == (ROWS, slots)
    assert torch.equal(drawn.mask.sum(1), drawn.valid.sum(1))
    assert all(len(set(row)) == len(row) for row in drawn.positions.tolist())
    assert torch.equal(torch.zeros_like(real).scatter(1, drawn.positions, drawn.valid), drawn.mask)


def test_one_word_at_a_time_is_a_stretch_of_one():
    words, everything = texts(), torch.ones(ROWS, PLACES, dtype=torch.bool)
    single = RandomWords(0.3)(everything, keys(ROWS), words=words)
    for masking in (RandomNGrams(0.3, longest=1), RandomWordSpans(0.3, stop=1.0), RandomWordSpans(0.3, longest=1)):
        assert all(map(torch.equal, masking(everything, keys(ROWS), words=words), single))


@pytest.mark.parametrize("kind", [RandomNGrams, RandomWordSpans])
def test_a_texts_first_and_last_words_are_hidden_about_as_often_as_others(kind):
    """Only of the last stretch the first words alone are hidden: those of a text's edges are cut off less often."""
    follows = torch.ones(20_000, 39, dtype=torch.bool)
    mask = kind(0.15)(F.pad(follows, (1, 0), value=True), keys(20_000), words=Words.of(follows, ~follows)).mask
    rates = mask.double().mean(0)
    assert abs(float(rates.mean()) - 0.15) < 0.002
    assert (rates - 0.15).abs().max() < (0.02 if kind is RandomNGrams else 0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_for_the_device(kind):
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    words = Words(*(each.to("meta") for each in texts(8)))
    real = torch.ones(8, PLACES, dtype=torch.bool, device="meta")
    assert kind(0.5)(real, keys(8).to("meta"), words=words).mask.shape == (8, PLACES)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_work_is_refused_in_a_sentence(kind):
    masking: WordMasking = kind(0.15)
    with pytest.raises(InputError, match=rf"^{kind.__name__} hides words, and this method knows of none: [^.]*\.$"):
        masking(torch.ones(2, 8, dtype=torch.bool), keys(2))
    with pytest.raises(InputError, match="mask_ratio is 0"):
        kind(0)


def test_lengths_that_mean_nothing_are_refused():
    for kind in (RandomNGrams, RandomWordSpans):
        with pytest.raises(InputError, match=rf"{kind.__name__}: longest is 0; [^.]*\."):
            kind(longest=0)
    for stop in (0.0, 1.1):
        with pytest.raises(InputError, match=rf"RandomWordSpans: stop is {stop}; [^.]*\."):
            RandomWordSpans(stop=stop)
