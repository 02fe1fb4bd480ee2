"""Pairs of segments, taken apart by plain loops. All tokens of all documents differ, so that each shows its place."""

import pytest
import torch
import torch.distributed as dist
from sklearn.ensemble import RandomForestClassifier

from ssl_zoo.corruption.sentence_pairs import PARTNER, Pairs, SentencePairs
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys, fold_in
from tests.made import BEGIN, END, PAD, SPECIAL, vocabulary
from tests.two_processes import in_group

STRIDE = 51  # document d has the tokens from 10 + d * STRIDE on; every third of them continues a word
ROWS = 400
VOCABULARY = vocabulary(10 + STRIDE * ROWS, range(12, 10 + STRIDE * ROWS, 3))
CONTINUATIONS = set(VOCABULARY["continuations"])


def documents(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded documents with so many tokens of text."""
    width = max(lengths) + 2
    rows = [
        [BEGIN, *(10 + number * STRIDE + place for place in range(length)), END] + [PAD] * (width - length - 2)
        for number, length in enumerate(lengths)
    ]
    ids = torch.tensor(rows)
    return ids, ids != PAD


def keys(rows: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def make(task: str) -> SentencePairs:
    return SentencePairs(VOCABULARY, task, max_length=64)


def some_lengths() -> list[int]:
    return torch.randint(4, 40, (ROWS,), generator=torch.Generator().manual_seed(0)).tolist()


def segments(pairs: Pairs, row: int) -> tuple[list[int], list[int]]:
    """The two segments of a row, whose form is checked on the way."""
    real = pairs.mask[row]
    ids = pairs.inputs[row].tolist()
    length = int(real.sum())
    assert real[:length].all() and set(ids[length:]) <= {PAD}
    assert ids[0] == BEGIN and ids[length - 1] == END
    middle = ids.index(END)
    assert ids[1:length].count(END) == 2 and not set(ids[1:length]) & {PAD, BEGIN}
    return ids[1:middle], ids[middle + 1 : length - 1]


def text(ids: torch.Tensor, row: int) -> list[int]:
    return [token for token in ids[row].tolist() if token not in SPECIAL]


def cuts(document: list[int]) -> list[int]:
    """How many tokens stand before each place where a document may be cut."""
    return [place for place in range(1, len(document)) if document[place] not in CONTINUATIONS]


def test_next_sentences_follow_or_are_the_last_words_of_the_next_document_in_the_drawn_order():
    ids, mask = documents(some_lengths())
    pairs = make("nsp")(ids, mask, keys(ROWS))
    assert pairs.inputs.shape == (ROWS, ids.shape[1] + 1)
    order = sorted(range(ROWS), key=lambda row: int(fold_in(keys(ROWS), PARTNER)[row]))
    partner = {row: order[(place + 1) % ROWS] for place, row in enumerate(order)}
    for row in range(ROWS):
        first, second = segments(pairs, row)
        whole = text(ids, row)
        assert first and first == whole[: len(first)]
        rest = whole[len(first) :]
        assert rest[0] not in CONTINUATIONS
        other = text(ids, partner[row])
        fair = {len(whole) - cut for cut in cuts(whole)} & {len(other) - cut for cut in cuts(other)}
        assert bool(pairs.valid[row]) == bool(fair) and pairs.labels[row] <= pairs.valid[row]
        assert len(rest) in fair or not fair
        assert second == (other[-len(rest) :] if pairs.labels[row] else rest)


def test_in_sentence_order_the_segments_stand_as_they_were_or_swapped():
    ids, mask = documents(some_lengths())
    pairs = make("sop")(ids, mask, keys(ROWS))
    assert pairs.valid.all()
    for row in range(ROWS):
        first, second = segments(pairs, row)
        assert first and second and first[0] not in CONTINUATIONS and second[0] not in CONTINUATIONS
        assert text(ids, row) == (second + first if pairs.labels[row] else first + second)


PROSE = {**VOCABULARY, "size": 1000, "continuations": list(range(500, 1000))}


def prose(rows: int, pieces: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of 2 to 24 words of one to three tokens each, or pieces of so many tokens cut from one long text."""
    generator = torch.Generator().manual_seed(2)
    continued = torch.tensor([0.6, 0.3, 0.1]).multinomial(rows * 40, True, generator=generator)
    words = [[5, *[500] * count] for count in continued.tolist()]
    if pieces is None:
        counts = torch.randint(2, 25, (rows,), generator=generator).tolist()
        texts = [
            [token for word in words[40 * row : 40 * row + count] for token in word] for row, count in enumerate(counts)
        ]
    else:
        stream = [token for word in words for token in word]
        texts = [stream[pieces * row : pieces * (row + 1)] for row in range(rows)]
    width = max(map(len, texts))
    ids = torch.tensor([[BEGIN, *text, END, *[PAD] * (width - len(text))] for text in texts])
    return ids, ids != PAD


@pytest.mark.parametrize("task", ["nsp", "sop"])
@pytest.mark.parametrize("pieces", [40, None])
def test_a_classifier_of_lengths_alone_stays_at_chance(task, pieces):
    """Equal pieces of a long text once gave 64 %: a spoilt pair ended with whole words and was often shorter."""
    rows = 4000
    ids, mask = prose(rows, pieces)
    pairs = SentencePairs(PROSE, task, max_length=128)(ids, mask, keys(rows))
    assert pairs.valid.float().mean() > 0.7
    middle = (pairs.inputs == END).int().argmax(1)
    total = pairs.mask.sum(1)
    lengths = torch.stack([middle - 1, total - middle - 2, total], 1)[pairs.valid].numpy()
    labels = pairs.labels[pairs.valid].numpy()
    half = len(labels) // 2
    forest = RandomForestClassifier(200, min_samples_leaf=10, random_state=0).fit(lengths[:half], labels[:half])
    accuracy = forest.score(lengths[half:], labels[half:])
    assert abs(accuracy - 0.5) < 3.5 * (0.25 / half) ** 0.5


@pytest.mark.parametrize("task", ["nsp", "sop"])
def test_labels_are_balanced_and_cuts_lie_at_the_beginning_of_any_word(task):
    rows = 8000
    ids = documents([12] * 20)[0].repeat(rows // 20, 1)
    pairs = make(task)(ids, None, keys(rows))
    counted = int(pairs.valid.sum())
    assert counted > 0.8 * rows and not (pairs.labels.bool() & ~pairs.valid).any()
    assert abs(int(pairs.labels.sum()) - counted / 2) < 5 * (counted / 4) ** 0.5

    middle = (pairs.inputs == END).int().argmax(1)
    cuts = torch.where(pairs.labels.bool(), 14 - middle, middle) if task == "sop" else middle
    places = [place for place in range(2, 13) if int(ids[0, place]) not in CONTINUATIONS]
    assert len(places) == 7
    if task == "sop":  # with as many tokens before it as another cut has behind it
        places = [place for place in places if 14 - place in places]
    found = torch.bincount(cuts[pairs.valid], minlength=14)
    assert int(found[places].sum()) == counted and len(places) >= 3
    expected = counted / len(places)
    assert ((found[places] - expected).abs() < 5 * expected**0.5).all()


def test_a_spoilt_pair_is_no_shorter_where_words_have_one_token():
    vocabulary = {**VOCABULARY, "continuations": []}
    ids, mask = documents([30] * ROWS)
    pairs = SentencePairs(vocabulary, "nsp", max_length=64)(ids, mask, keys(ROWS))
    assert pairs.labels.sum() > 100 and (pairs.mask.sum(1) == 33).all()


def test_what_cannot_be_cut_is_left_whole_and_does_not_count():
    # No text at all, one token, one word of two tokens, several words.
    ids, mask = documents([0, 1, 0, 5])
    ids[2, :4] = torch.tensor([BEGIN, 11, 12, END])
    mask[2, :4] = True
    for task in ("nsp", "sop"):
        pairs = make(task)(ids, mask, keys(4))
        assert pairs.valid.tolist()[:3] == [False] * 3 and pairs.labels.tolist()[:3] == [0] * 3
        assert torch.equal(pairs.inputs[:3, :-1], ids[:3]) and torch.equal(pairs.mask[:3, :-1], mask[:3])
        assert not pairs.mask[:3, -1].any() and (pairs.inputs[:3, -1] == PAD).all()


def test_without_another_document_there_is_no_next_sentence_to_tell():
    ids, mask = documents([12])
    for seed in range(20):
        alone = make("nsp")(ids, mask, keys(1, seed))
        assert not alone.valid.any() and not alone.labels.any()
        first, second = segments(alone, 0)
        assert first + second == text(ids, 0)
        twice = make("nsp")(ids.repeat(2, 1), None, keys(1, seed).repeat(2))
        assert not twice.valid.any()
    assert make("sop")(ids, mask, keys(1)).valid.all()


def test_partners_without_text_offer_nothing():
    ids, mask = documents([12, 0, 0, 0])
    for seed in range(10):
        pairs = make("nsp")(ids, mask, keys(4, seed))
        assert not pairs.valid.any() and not pairs.labels.any()


@pytest.mark.parametrize("task", ["nsp", "sop"])
def test_neither_the_order_of_the_batch_nor_its_padding_matters(task):
    ids, mask = documents(some_lengths()[:64])
    whole = make(task)(ids, mask, keys(64))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    shuffled = make(task)(ids[order], mask[order], keys(64)[order])
    assert all(torch.equal(ours, theirs[order]) for ours, theirs in zip(shuffled, whole, strict=True))
    longer = torch.cat([ids, torch.full((64, 9), 99)], dim=1)
    padded = make(task)(longer, torch.cat([mask, torch.zeros(64, 9, dtype=torch.bool)], dim=1), keys(64))
    assert torch.equal(padded.inputs[:, :-9], whole.inputs) and torch.equal(padded.labels, whole.labels)
    assert torch.equal(padded.mask[:, :-9], whole.mask) and not padded.mask[:, -9:].any()


def share_of_the_pairs(share: slice) -> Pairs:
    ids, mask = documents([10] * 4 + [30] * 4)
    ids, mask = ids[share], mask[share]
    width = int(mask.sum(1).max())  # every rank pads to its own longest document
    # with this seed three documents find their partners on the other process
    return make("nsp")(ids[:, :width], mask[:, :width], keys(8, seed=4)[share])


def pairs_of_this_rank() -> Pairs:
    return share_of_the_pairs(slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4))


def test_two_processes_find_partners_on_each_other(two_processes):
    one = share_of_the_pairs(slice(None))
    crossed = 0
    for rank, two in enumerate(two_processes(in_group, pairs_of_this_rank)):
        for row in range(4):
            whole = 4 * rank + row
            assert segments(two, row) == segments(one, whole)
            assert two.labels[row] == one.labels[whole] and two.valid[row] == one.valid[whole]
            owners = {(token - 10) // STRIDE // 4 for token in segments(two, row)[1]}
            crossed += owners != {rank}
    assert crossed > 0


@pytest.mark.parametrize("task", ["nsp", "sop"])
def test_nothing_in_it_waits_for_the_device(task):
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    ids, mask = documents([9, 12, 4])
    for given in (mask.to("meta"), None):
        assert make(task).to("meta")(ids.to("meta"), given, keys(3).to("meta")).inputs.shape == (3, 15)


def test_a_tokenizer_without_a_first_token_is_refused():
    with pytest.raises(InputError, match="begin with a token of their own"):
        SentencePairs({**VOCABULARY, "begin": None}, "sop", 64)
