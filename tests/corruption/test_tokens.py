"""BERT's corruption: its shares within what chance allows, and the rest exactly."""

import math

import pytest
import torch

from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.tokens import TokenCorruption
from ssl_zoo.corruption.words import LONGEST_WORD, RandomNGrams, RandomWords, RandomWordSpans, WordMasking
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from tests.made import BEGIN, END, MASK, PAD, vocabulary

SPECIAL, CONTINUATIONS = {0, 1, 2, 3, 4, 57}, range(40, 57)
VOCABULARY = vocabulary(200, CONTINUATIONS, SPECIAL)
ROWS, LENGTH = 6000, 70
KINDS = [RandomPlaces, RandomWords, RandomNGrams, RandomWordSpans]


def of(kind: type[Masking], ratio: float = 0.15) -> TokenCorruption:
    return TokenCorruption(VOCABULARY, kind(ratio))


def keys(rows: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def documents(rows: int = ROWS, length: int = LENGTH, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded documents with words of up to five pieces, some with special tokens within."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(58, 200, (rows, length), generator=generator)
    pieces = torch.randint(40, 57, (rows, length), generator=generator)
    ids = torch.where(torch.rand(rows, length, generator=generator) < 0.4, pieces, ids)
    ids = torch.where(torch.rand(rows, length, generator=generator) < 0.02, 57, ids)
    lengths = torch.randint(3, length + 1, (rows,), generator=generator)
    ids[:, 0] = BEGIN
    ids[torch.arange(rows), lengths - 1] = END
    mask = torch.arange(length) < lengths[:, None]
    return ids.masked_fill(~mask, PAD), mask


def ordinary(ids: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[token not in SPECIAL for token in row] for row in ids.tolist()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", [0.15, 0.4, 1.0])
def test_the_ratio_is_met_and_only_text_is_drawn(ratio, kind):
    ids, mask = documents()
    _, hidden = of(kind, ratio)(ids, mask, keys(ROWS))
    drawn, text = hidden.mask, ordinary(ids)
    assert not (drawn & ~text).any()
    assert torch.equal(drawn.any(1), text.any(1))
    # Rows long enough that "at least one" raises nothing.
    long = text.sum(1) >= (1 if ratio == 1 else LONGEST_WORD / ratio if issubclass(kind, WordMasking) else 1 / ratio)
    expected, tokens = ratio * text[long].sum(1).double(), drawn[long].sum(1)
    difference = tokens - expected
    assert difference.abs().max() < (LONGEST_WORD if issubclass(kind, WordMasking) else 1)
    assert abs(float(difference.mean())) < 5 * float(difference.std()) / len(difference) ** 0.5 + 1e-4


@pytest.mark.parametrize("kind", [RandomPlaces, RandomWords])
def test_every_token_of_text_has_the_same_chance(kind):
    # One document with words of one to three pieces, drawn 20 000 times.
    row = torch.tensor([BEGIN, 60, 61, 41, 62, 63, 41, 42, 64, 65, 66, 41, 67, 68, 69, END])
    ids = row.repeat(20_000, 1)
    drawn = of(kind, 0.4)(ids, None, keys(20_000))[1].mask.double()
    rates = drawn[:, 1:-1].mean(0)
    error = (0.4 * 0.6 / 20_000) ** 0.5
    if kind is RandomWords:  # a long word in the first place is taken whole, which makes the rates a little uneven
        assert (rates - 0.4).abs().max() < 0.05
    else:
        assert (rates - 0.4).abs().max() < 5 * error


def test_of_the_drawn_tokens_80_percent_are_hidden_10_replaced_and_10_left():
    ids, mask = documents()
    corrupted, places = of(RandomPlaces, 0.5)(ids, mask, keys(ROWS))
    shown, targets = (places.at(tokens)[places.valid] for tokens in (corrupted, ids))
    count = len(targets)
    assert count > 50_000
    hidden, same = shown == MASK, shown == targets
    replaced = shown[~hidden & ~same]
    kinds = 200 - len(SPECIAL)
    # A random token is the true one now and then.
    for found, share in ((hidden.sum(), 0.8), (same.sum(), 0.1 + 0.1 / kinds), (len(replaced), 0.1 - 0.1 / kinds)):
        assert abs(int(found) - share * count) < 5 * (share * (1 - share) * count) ** 0.5
    # Replacements are all ordinary tokens alike.
    assert set(replaced.tolist()) == set(range(200)) - SPECIAL
    frequencies = torch.bincount(replaced, minlength=200)[[token for token in range(200) if token not in SPECIAL]]
    expected = len(replaced) / kinds
    assert ((frequencies - expected).abs() < 5 * expected**0.5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_the_text_is_as_it_was(kind):
    ids, mask = documents(200)
    corrupted, hidden = of(kind)(ids, mask, keys(200))
    slots = math.ceil(0.15 * LENGTH) + (LONGEST_WORD if issubclass(kind, WordMasking) else 1)
    assert hidden.positions.shape == hidden.valid.shape == (200, slots)
    assert torch.equal(corrupted[~hidden.mask], ids[~hidden.mask])
    assert (corrupted != ids).any(1).float().mean() > 0.8


def words_by_loop(row: list[int]) -> list[list[int]]:
    """Positions of each word's pieces; more than `LONGEST_WORD` pieces are several words."""
    words: list[list[int]] = []
    for place, token in enumerate(row):
        if token in SPECIAL:
            continue
        joined = token in CONTINUATIONS and place > 0 and row[place - 1] not in SPECIAL
        if joined and len(words[-1]) < LONGEST_WORD:
            words[-1].append(place)
        else:
            words.append([place])
    return words


def test_whole_words_are_drawn_whole():
    ids, mask = documents(500, 40)
    ids[:50, 1:39] = torch.where(ids[:50, 1:39] == PAD, PAD, 41)  # a single word of up to 38 pieces
    corrupted, hidden = of(RandomWords, 0.2)(ids, mask, keys(500))
    drawn = hidden.mask
    longest = 0
    for row in range(500):
        for word in words_by_loop(ids[row].tolist()):
            parts = drawn[row, word]
            assert parts.all() or not parts.any()
            longest = max(longest, len(word)) if parts.all() else longest
        assert drawn[row].any()
    assert longest == LONGEST_WORD
    # Pieces of one word are hidden, replaced or left each on its own.
    changed = corrupted != ids
    mixed = [
        row
        for row in range(500)
        for word in words_by_loop(ids[row].tolist())
        if drawn[row, word].all() and changed[row, word].any() and not changed[row, word].all()
    ]
    assert len(mixed) > 50


def test_the_last_word_is_taken_as_often_as_the_ratio_wants():
    # Twenty words of four pieces, thirteen tokens to draw: three words, and in a quarter of the rows a fourth.
    ids = torch.tensor([60, 41, 42, 43] * 20).repeat(4000, 1)
    drawn = of(RandomWords, 13 / 80)(ids, None, keys(4000))[1].mask.sum(1)
    assert set(drawn.tolist()) == {12, 16}
    assert abs(int((drawn == 16).sum()) - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5


def test_words_do_not_reach_over_the_border_of_two_documents():
    ids = torch.tensor([[41, 42, 41, 42, 41, 42]])
    packed = torch.tensor([[1, 1, 1, 2, 2, 2]])
    corrupt = of(RandomWords, 0.5)
    for seed in range(20):
        drawn = corrupt(ids, packed, keys(1, seed))[1].mask[0].tolist()
        assert drawn in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_depends_on_its_key_and_its_text_alone(kind):
    corrupt = of(kind)
    ids, mask = documents(64)
    whole, hidden = corrupt(ids, mask, keys(64))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    shuffled, places = corrupt(ids[order], mask[order], keys(64)[order])
    assert torch.equal(shuffled, whole[order])
    assert all(torch.equal(ours, theirs[order]) for ours, theirs in zip(places, hidden, strict=True))
    # More padding, of any content, changes nothing either.
    longer = torch.cat([ids, torch.full((64, 20), 99)], dim=1)
    padded, places = corrupt(longer, torch.cat([mask, torch.zeros(64, 20, dtype=torch.bool)], dim=1), keys(64))
    assert torch.equal(padded[:, :LENGTH], whole)
    assert torch.equal(places.mask, torch.cat([hidden.mask, torch.zeros(64, 20, dtype=torch.bool)], dim=1))
    _, others = corrupt(ids, mask, keys(64, seed=1))
    assert (others.mask != hidden.mask).any(1).float().mean() > 0.8


def test_packed_and_unmasked_rows_are_masked_like_others():
    ids = documents(32)[0].clamp_min(5)
    corrupt = of(RandomPlaces)
    expected, hidden = corrupt(ids, torch.ones_like(ids, dtype=torch.bool), keys(32))
    for mask in (None, torch.ones_like(ids), torch.arange(1, LENGTH + 1).expand(32, -1)):
        corrupted, places = corrupt(ids, mask, keys(32))
        assert torch.equal(corrupted, expected) and all(map(torch.equal, places, hidden))
    half = torch.ones_like(ids)
    half[:, LENGTH // 2 :] = 0
    assert not corrupt(ids, half, keys(32))[1].mask[:, LENGTH // 2 :].any()


@pytest.mark.parametrize("kind", KINDS)
def test_short_rows_predict_one_token_and_rows_without_text_none(kind):
    ids = torch.tensor([[BEGIN, 60, END, PAD], [BEGIN, END, PAD, PAD], [BEGIN, 60, 61, END]])
    for ratio, counts in ((0.01, [1, 0, 1]), (1.0, [1, 0, 2])):
        _, hidden = of(kind, ratio)(ids, ids != PAD, keys(3))
        assert hidden.valid.sum(1).tolist() == counts


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_it_waits_for_the_device(kind):
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    ids, mask = documents(8)
    corrupt = of(kind).to("meta")
    corrupted, hidden = corrupt(ids.to("meta"), mask.to("meta"), keys(8).to("meta"))
    assert corrupted.shape == hidden.mask.shape == ids.shape


def test_its_tables_are_no_part_of_a_checkpoint():
    assert of(RandomNGrams).state_dict() == {}


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="no mask token"):
        TokenCorruption({**VOCABULARY, "mask": None}, RandomPlaces(0.15))
    for ratio in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="mask_ratio"):
            of(RandomWords, ratio)
