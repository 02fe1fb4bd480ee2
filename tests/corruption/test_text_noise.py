"""What an encoder is shown of a text with noise, and what a decoder writes, written out by hand."""

import pytest
import torch

from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.infilling import Infilling
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.text_noise import Noised, TextNoise
from ssl_zoo.corruption.token_spans import SegmentedSpans, Suffix, TextSpans
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from tests.made import BEGIN, END, MASK, PAD, vocabulary

VOCABULARY = vocabulary(30)
S = 30  # the first sentinel
START = S + 10
A, B, C, D, E, F = range(5, 11)
TEXT = [BEGIN, A, B, C, D, E, F, END]
KEY = example_keys(0, 1, torch.arange(1))


class Fixed(Masking):
    """Hides the places that it is given."""

    def __init__(self, places: list[int]) -> None:
        self.given = places

    def slots(self, places: int) -> int:
        return min(places, len(self.given) + 2)

    def __call__(self, maskable, keys, grid=None) -> Hidden:
        mask = torch.zeros_like(maskable)
        mask[:, self.given] = True
        return Hidden.of_mask(mask & maskable, self.slots(maskable.shape[1]))


def make(masking: Masking, inputs: str, targets: str, **settings) -> TextNoise:
    return TextNoise(
        VOCABULARY, masking, inputs, targets,
        **{"sentinels": 10, "replaced": 0.0, "kept": 0.0, "shuffle_documents": False, **settings},
    )  # fmt: skip


def noised(inputs: str, targets: str, places=(2, 3, 5), text=TEXT, **settings) -> Noised:
    ids = torch.tensor([text])
    return make(Fixed(list(places)), inputs, targets, **settings)(ids, ids != PAD, KEY)


def shown(found: Noised, row: int = 0) -> list[int]:
    return found.inputs[row][found.mask[row]].tolist()


def written(found: Noised, row: int = 0) -> list[int]:
    return found.targets[row][found.valid[row]].tolist()


@pytest.mark.parametrize(("inputs", "expected"), [
    ("mask_tokens", [BEGIN, A, MASK, MASK, D, MASK, F, END]),
    ("mask_spans", [BEGIN, A, MASK, D, MASK, F, END]),
    ("sentinels", [BEGIN, A, S, D, S + 1, F, END]),
    ("drop", [BEGIN, A, D, F, END]),
])  # fmt: skip
def test_what_is_shown(inputs, expected):
    assert shown(noised(inputs, "full")) == expected
    padded = noised(inputs, "full", text=[*TEXT, PAD, PAD])
    assert shown(padded) == expected and written(padded) == TEXT


@pytest.mark.parametrize(("targets", "expected", "hidden"), [
    ("full", TEXT, [2, 3, 5]),
    ("sentinels", [S, B, C, S + 1, E, END], [1, 2, 4]),
    ("hidden", [B, C, E, END], [0, 1, 2]),
    ("in_place", [B, C, E], [0, 1, 2]),
])  # fmt: skip
def test_what_is_written_and_which_of_it_was_hidden(targets, expected, hidden):
    found = noised("mask_tokens", targets)
    assert written(found) == expected and found.hidden[0].nonzero()[:, 0].tolist() == hidden
    read = found.read()[0][found.valid[0]].tolist()
    assert read == ([A, B, D] if targets == "in_place" else [START, *expected[:-1]])
    assert (found.positions is None) == (targets != "in_place")


def test_in_place_a_token_is_read_and_written_where_it_stands_and_after_its_neighbour():
    found = noised("mask_tokens", "in_place", places=(1, 2, 6))
    assert found.positions[0][found.valid[0]].tolist() == [1, 2, 6]
    assert found.before[0][found.valid[0]].tolist() == [BEGIN, -1, E]
    first = noised("mask_tokens", "in_place", places=(0, 1), text=[A, B, C])
    assert first.before[0][first.valid[0]].tolist() == [START, -1]


def test_in_place_single_tokens_in_random_order_are_written_after_their_neighbours_too():
    ids = torch.randint(5, 30, (50, 20), generator=torch.Generator().manual_seed(0))
    found = make(RandomPlaces(0.7), "mask_tokens", "in_place")(ids, None, example_keys(0, 1, torch.arange(50)))
    for row, text in enumerate(ids.tolist()):
        valid = found.valid[row]
        places = found.positions[row][valid].tolist()
        assert found.targets[row][valid].tolist() == [text[place] for place in places]
        assert found.read()[row][valid].tolist() == [text[place - 1] if place else START for place in places]


def test_a_text_that_does_not_end_here_is_closed_where_the_whole_of_it_is_written_too():
    assert written(noised("drop", "full", text=[A, B, C, D, E, F])) == [A, B, C, D, E, F, END]


def test_tokens_that_stand_for_no_text_are_hidden_by_a_suffix_alone():
    packed = torch.tensor([[BEGIN, A, B, END, BEGIN, C, D, END]])
    documents = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2]])
    everything = make(RandomPlaces(1.0), "mask_tokens", "hidden")(packed, documents, KEY)
    assert shown(everything) == [BEGIN, MASK, MASK, END, BEGIN, MASK, MASK, END]
    assert written(everything) == [A, B, C, D, END]
    for seed in range(20):
        suffix = make(Suffix(), "drop", "hidden")(packed, documents, example_keys(seed, 1, torch.arange(1)))
        assert shown(suffix) + written(suffix) == packed[0].tolist() and len(shown(suffix)) >= 1


def test_permuted_tokens_are_the_hidden_ones_in_random_order():
    ids = torch.tensor([TEXT]).repeat(500, 1)
    found = make(Fixed([1, 2, 4]), "permute", "full")(ids, None, example_keys(0, 1, torch.arange(500)))
    assert torch.equal(found.targets, ids) and (found.inputs[:, [0, 3, 5, 6, 7]] == ids[:, [0, 3, 5, 6, 7]]).all()
    orders = [tuple(row) for row in found.inputs[:, [1, 2, 4]].tolist()]
    assert len(set(orders)) == 6 and {tuple(sorted(order)) for order in orders} == {(A, B, D)}
    assert all(orders.count(order) > 50 for order in set(orders))


def test_hidden_tokens_are_replaced_and_kept_as_often_as_said():
    ids = torch.randint(5, 30, (400, 20), generator=torch.Generator().manual_seed(0))
    found = make(RandomPlaces(1.0), "mask_tokens", "full", replaced=0.1, kept=0.2)(
        ids, None, example_keys(0, 1, torch.arange(400))
    )
    masked, same = found.inputs == MASK, found.inputs == ids
    other = ~masked & ~same
    assert not torch.isin(found.inputs[other], torch.tensor(VOCABULARY["special"])).any()
    for share, expected in ((masked, 0.7), (same, 0.2 + 0.1 / 25), (other, 0.1 * 24 / 25)):
        assert float(share.double().mean()) == pytest.approx(expected, abs=4.5 * (expected / 8000) ** 0.5)


def test_empty_spans_are_shown_and_leave_nothing_to_write():
    noise = make(Infilling(0.3, 1.0), "mask_spans", "full")
    ids = torch.tensor([[BEGIN, *range(5, 25), END]]).repeat(300, 1)
    found = noise(ids, None, example_keys(0, 1, torch.arange(300)))
    spans = noise.masking.spans(ids >= 5, noise_keys())
    for row in range(300):
        expected = []
        for place, token in enumerate(ids[row].tolist()):
            expected += [MASK] * (int(spans.inserted[row, place]) + int(spans.starts[row, place]))
            expected += [] if spans.hidden.mask[row, place] else [token]
        assert shown(found, row) == expected and written(found, row) == ids[row].tolist()
    assert spans.inserted.any() and found.inputs.shape[1] <= noise.most_inputs(22)


def noise_keys() -> torch.Tensor:
    from ssl_zoo.corruption.text_noise import PLACES
    from ssl_zoo.randomness import fold_in

    return fold_in(example_keys(0, 1, torch.arange(300)), PLACES)


def test_documents_of_a_row_are_shuffled_and_written_in_order():
    row = [A, END, BEGIN, B, C, END, BEGIN, D]
    ids, documents = torch.tensor([row]).repeat(60, 1), torch.tensor([[1, 1, 2, 2, 2, 2, 3, 3]]).repeat(60, 1)
    noise = make(Fixed([]), "mask_tokens", "full", shuffle_documents=True)
    found = noise(ids, documents, example_keys(0, 1, torch.arange(60)))
    parts = [row[:2], row[2:6], row[6:]]
    orders = {tuple(each) for each in found.inputs.tolist()}
    assert orders == {tuple(parts[i] + parts[j] + parts[3 - i - j]) for i in range(3) for j in range(3) if i != j}
    assert all(written(found, number) == [*row, END] for number in range(60))
    hidden = make(Fixed([1, 3]), "mask_tokens", "full", shuffle_documents=True)(
        ids, documents, example_keys(0, 1, torch.arange(60))
    )
    for number in range(60):
        gone = [token for token in row if token >= 5]
        for token in shown(hidden, number):
            if token >= 5:
                gone.remove(token)
        assert sorted(hidden.targets[number][hidden.hidden[number]].tolist()) == sorted(gone)
    with pytest.raises(InputError, match=r"set data\.packing to true"):
        noise.check(20, packed=False)
    single = noise(ids, torch.ones_like(ids, dtype=torch.bool), example_keys(0, 1, torch.arange(60)))
    assert torch.equal(single.inputs, ids)  # as validation has them: each is a document of its own


@pytest.mark.parametrize("inputs", ["mask_tokens", "mask_spans", "sentinels", "drop", "permute"])
@pytest.mark.parametrize("targets", ["full", "sentinels", "hidden", "in_place"])
def test_a_row_gets_what_its_key_and_its_tokens_say_whatever_stands_beside_it_or_behind(inputs, targets):
    lengths = torch.tensor([20, 9, 3, 14])
    ids = torch.randint(5, 30, (4, 20), generator=torch.Generator().manual_seed(0))
    mask, keys = torch.arange(20) < lengths[:, None], example_keys(0, 1, torch.arange(4))
    noise = make(Infilling(0.4) if inputs == "mask_spans" else SegmentedSpans(0.4, 2.0), inputs, targets, sentinels=30)
    whole = noise(ids.masked_fill(~mask, PAD), mask, keys)
    assert whole.targets.shape[1] <= noise.most_targets(20) and whole.inputs.shape[1] <= noise.most_inputs(20)
    for row, length in enumerate(lengths.tolist()):
        alone = noise(ids[row : row + 1, :length], None, keys[row : row + 1])
        assert shown(alone) == shown(whole, row) and written(alone) == written(whole, row)
    assert written(whole) != written(noise(ids, None, keys + 1)) or inputs == targets or targets == "full"


def test_rows_with_more_spans_than_sentinels_are_refused_before_any_is_drawn():
    with pytest.raises(InputError, match=r"can have 12 spans, and there are 10 sentinels: raise model\.sentinels"):
        make(RandomPlaces(0.5), "sentinels", "sentinels").check(23, packed=True)
    make(RandomPlaces(0.5), "drop", "hidden").check(23, packed=True)  # which has none
    with pytest.raises(InputError, match="no mask token"):
        TextNoise({**VOCABULARY, "mask": None}, Suffix(), "mask_spans", "full", 1, 0.0, 0.0, False)
    assert shown(make(RandomPlaces(1.0), "drop", "hidden")(torch.tensor([[A, B]]), None, KEY)) == [PAD]


@pytest.mark.parametrize(
    ("masking", "most"),
    [(SegmentedSpans(roll=False), 26), (SegmentedSpans(), 27), (SegmentedSpans(0.5, 3.0, roll=False), 85)],
)
def test_t5s_rows_of_512_tokens_have_the_spans_of_its_formula_and_100_sentinels_are_enough(masking, most):
    """round(round(512 * 0.15) / 3) = 26 spans, of which a turned row cuts one in two at its end."""
    make(masking, "sentinels", "sentinels", sentinels=100).check(512, packed=True)
    assert masking.most_spans(512) == most
    ids = torch.full((40, 512), A)
    spans = TextSpans.of_runs(masking(torch.ones_like(ids, dtype=torch.bool), example_keys(0, 1, torch.arange(40))))
    assert int(spans.starts.sum(1).max()) == most


@pytest.mark.parametrize("inputs", ["sentinels", "mask_tokens", "permute"])
@pytest.mark.parametrize("masking", [Fixed([1, 3, 5, 6]), Infilling(0.9, 1.0)], ids=["fixed", "infilling"])
def test_spans_without_a_sentinel_stay_visible(inputs, masking):
    """As where ends of documents, or unknown words, cut one span into several."""
    many, few = (make(masking, inputs, "sentinels", sentinels=sentinels) for sentinels in (20, 2))
    ids = torch.tensor([TEXT])
    whole, cut = many(ids, None, KEY), few(ids, None, KEY)
    end = written(whole).index(S + 2)  # the third span's
    assert written(cut) == [*written(whole)[:end], END]
    assert int(cut.hidden.sum()) < int(whole.hidden.sum())
    if inputs == "sentinels":
        assert shown(cut)[: shown(whole).index(S + 2)] == shown(whole)[: shown(whole).index(S + 2)]
        assert max(shown(cut)) == S + 1 and shown(cut)[-1] == END
    if inputs == "permute":
        assert sorted(shown(cut)) == sorted(TEXT)
