import pytest
import torch
from scipy import stats
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.byol import BYOL
from ssl_zoo.methods.moco import MoCo
from ssl_zoo.methods.moco_v3 import MoCoV3
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.methods.simsiam import SimSiam
from ssl_zoo.randomness import example_keys
from ssl_zoo.views.text import TextViews
from tests.contracts.experiments import FOLDER, SAVING, UNWATCHED, assert_same, checkpoint, fit
from tests.made import BEGIN, END, PAD, vocabulary

# Ids from 20 on go on with the word before them.
VOCABULARY = vocabulary(30, range(20, 30))
LENGTH = 14
SENTENCE = [BEGIN, 5, 6, 20, 21, 7, 8, 22, 9, 10, END]
UNLIKELY = 1e-3  # p value below which two samples count as differently distributed; the draws are seeded


def keys(count: int, step: int = 0) -> Tensor:
    return example_keys(0, step, torch.arange(count))


def batch(count: int, sentence: list[int] = SENTENCE) -> Batch:
    ids = torch.tensor(sentence + [PAD] * (LENGTH - len(sentence))).repeat(count, 1)
    return Batch(ids, torch.arange(LENGTH).expand(count, -1) < len(sentence), None, torch.arange(count))


def words_of(ids: list[int]) -> list[tuple[int, ...]]:
    """The words of a text without the tokens that begin and end it, each with its pieces."""
    assert ids[0] == BEGIN and ids[-1] == END
    words: list[tuple[int, ...]] = []
    for token in ids[1:-1]:
        if token >= 20 and words:
            words[-1] = (*words[-1], token)
        else:
            words.append((token,))
    return words


WORDS = words_of(SENTENCE)


def views_of(views: TextViews, given: Batch) -> list[list[list[int]]]:
    """First views and second views, as lists of real tokens."""
    inputs, mask = views.of(given, keys(len(given.inputs)))
    assert (mask.long().diff(dim=1) <= 0).all()  # padding is on the right
    assert (inputs[~mask] == PAD).all()
    rows = [row[real].tolist() for row, real in zip(inputs, mask, strict=True)]
    return [rows[: len(given.inputs)], rows[len(given.inputs) :]]


def test_left_alone_both_views_are_the_text_itself():
    inputs, mask = TextViews(VOCABULARY).of(batch(3), keys(3))
    assert mask.all() and inputs.tolist() == [SENTENCE] * 6
    whole = batch(3)._replace(mask=None)
    assert TextViews(VOCABULARY).of(whole, keys(3)).mask is None


def test_words_are_left_out_with_all_their_pieces_as_often_as_asked_and_each_by_itself():
    first, second = views_of(TextViews(VOCABULARY, deletion=0.3), batch(2000))
    counts = torch.zeros(len(WORDS))
    for row in first:
        kept = words_of(row)
        assert set(kept) <= set(WORDS) and kept == [word for word in WORDS if word in kept]  # in their order
        counts += torch.tensor([word in kept for word in WORDS])
    for count in counts.tolist():
        assert stats.binomtest(int(count), 2000, 0.7).pvalue > UNLIKELY
    pairs = zip(map(words_of, first), map(words_of, second), strict=True)
    both = sum((WORDS[0] in one) == (WORDS[0] in other) for one, other in pairs)
    assert stats.binomtest(both, 2000, 0.7**2 + 0.3**2).pvalue > UNLIKELY  # the two views are independent


def test_one_word_stays_when_all_are_to_go_and_any_of_them_may_be_it():
    first, _ = views_of(TextViews(VOCABULARY, deletion=1.0), batch(2000))
    left = [words_of(row) for row in first]
    assert {len(words) for words in left} == {1}
    counts = [sum(words == [word] for words in left) for word in WORDS]
    assert stats.chisquare(counts).pvalue > UNLIKELY
    bare = [BEGIN, END]
    assert views_of(TextViews(VOCABULARY, deletion=1.0, crop=0.5), batch(2, bare)) == [[bare, bare], [bare, bare]]


def test_a_crop_is_a_stretch_of_words_whose_length_and_place_are_uniform():
    first, _ = views_of(TextViews(VOCABULARY, crop=0.5), batch(3000))
    found: dict[int, list[int]] = {}
    for row in first:
        words = words_of(row)
        start = WORDS.index(words[0])
        assert words == WORDS[start : start + len(words)]
        found.setdefault(len(words), []).append(start)
    # ceil((0.5 + 0.5 u) * 6) for uniform u.
    assert stats.chisquare([len(found[length]) for length in (4, 5, 6)]).pvalue > UNLIKELY and len(found) == 3
    assert stats.chisquare([found[4].count(start) for start in range(3)]).pvalue > UNLIKELY


def test_a_view_depends_on_its_text_and_key_alone():
    views, given = TextViews(VOCABULARY, deletion=0.3, crop=0.5), batch(8)
    first, second = views_of(views, given)
    inputs, mask = views.of(Batch(*(None if each is None else each[5:6] for each in given)), keys(8)[5:6])
    assert [row[real].tolist() for row, real in zip(inputs, mask, strict=True)] == [first[5], second[5]]
    longer = given._replace(
        inputs=torch.nn.functional.pad(given.inputs, (0, 3)), mask=torch.nn.functional.pad(given.mask, (0, 3))
    )
    assert views_of(views, longer) == [first, second]
    assert not torch.equal(views.of(given, keys(8, step=1)).inputs, views.of(given, keys(8)).inputs)


def test_padding_that_is_also_a_token_of_texts_is_known_by_the_mask():
    vocabulary = {**VOCABULARY, "pad": END}
    given = batch(4)._replace(inputs=batch(4).inputs.masked_fill(~batch(4).mask, END))
    inputs, mask = TextViews(vocabulary, deletion=0.5).of(given, keys(4))
    assert all(row[real].tolist()[-1] == END for row, real in zip(inputs, mask, strict=True))
    assert (inputs[~mask] == END).all()


def test_views_are_as_long_as_the_longest_of_them_and_encoded_as_with_more_padding():
    views, given = TextViews(VOCABULARY, deletion=0.5, crop=0.3), batch(16)
    inputs, mask = views.of(given, keys(16))
    assert mask[:, -1].any() and mask.shape == inputs.shape and inputs.shape[1] < LENGTH
    encoder = BertEncoder(VOCABULARY, 16, 1, 2).eval()
    more = [torch.nn.functional.pad(each, (0, 3), value=fill) for each, fill in ((inputs, PAD), (mask, False))]
    torch.testing.assert_close(encoder(inputs, mask).pooled, encoder(*more).pooled)


def test_packed_rows_and_what_is_no_text_are_refused():
    views = TextViews(VOCABULARY)
    with pytest.raises(InputError, match=r"set data\.packing to false"):
        views.of(batch(2)._replace(mask=torch.ones(2, LENGTH, dtype=torch.int64)), keys(2))
    with pytest.raises(InputError, match="give token ids"):
        views(torch.zeros(2, 3, 8, 8), keys(2))
    for settings in ({"deletion": 1.5}, {"crop": 0.0}):
        with pytest.raises(InputError, match=r"(deletion|crop) is"):
            TextViews(VOCABULARY, **settings)


def encoder(dropout: float) -> BertEncoder:
    torch.manual_seed(0)
    return BertEncoder(VOCABULARY, dim=16, depth=1, heads=2, max_length=LENGTH, dropout=dropout)


METHODS = {
    SimCLR: {"projection_hidden": 16, "projection_dim": 8},
    MoCo: {"queue_size": 16, "norm_groups": 2, "projection_hidden": 16, "projection_dim": 8},
    MoCoV3: {"projection_hidden": 16, "projection_dim": 8},
    BYOL: {"projection_hidden": 16, "projection_dim": 8},
    SimSiam: {"projection_dim": 8, "prediction_hidden": 4},
}


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)
def test_padding_does_not_change_the_loss_of_a_method_with_views(kind):
    model = kind(encoder(0.0), TextViews(VOCABULARY, deletion=0.3, crop=0.5), **METHODS[kind]).eval()
    lengths = torch.tensor([11, 8, 5, 9])
    ids = torch.randint(5, 30, (4, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[torch.arange(4), lengths - 1] = BEGIN, END
    mask = torch.arange(LENGTH) < lengths[:, None]
    given = Batch(ids.masked_fill(~mask, PAD), mask, None, torch.arange(4))
    noisy = given._replace(inputs=torch.where(mask, ids, 7))  # what padding is filled with means nothing
    shorter = given._replace(inputs=given.inputs[:, :11], mask=mask[:, :11])
    losses = [float(model.losses(each)["loss"].detach()) for each in (given, noisy, shorter)]
    assert losses[1:] == pytest.approx(losses[:1] * 2, abs=1e-5)


def test_dropout_makes_the_views_differ_and_without_it_a_sentence_says_so():
    model = SimCLR(encoder(0.1), TextViews(VOCABULARY), **METHODS[SimCLR])
    first, second = (model.encoder(*view).pooled for view in model.make_views(batch(4)).chunk(2))
    assert (first - second).abs().amax(1).min() > 1e-3  # of every text, the two copies lie in one batch
    assert (first[0] - first[1]).abs().max() > 1e-3  # and no two texts share a mask
    with pytest.raises(InputError, match="BertEncoder has no dropout to make them differ"):
        SimCLR(encoder(0.0), TextViews(VOCABULARY), **METHODS[SimCLR]).make_views(batch(4))
    SimCLR(encoder(0.0), TextViews(VOCABULARY, deletion=0.1), **METHODS[SimCLR]).make_views(batch(4))


def test_a_run_whose_views_differ_by_dropout_alone_is_resumed_bit_for_bit(tmp_path):
    path, alone = FOLDER / "text" / "simclr.yaml", ["--model.views.deletion=0", "--model.views.crop=1", *UNWATCHED]
    whole = fit(path, tmp_path / "whole", *alone, *SAVING)
    resumed = fit(path, tmp_path / "resumed", *alone, "--ckpt_path", str(whole / "middle.ckpt"), "--seed_everything=99")
    assert_same(checkpoint(whole), checkpoint(resumed))
    start = torch.load(whole / "start.ckpt", weights_only=True)["state_dict"]
    assert any(not torch.equal(value, start[name]) for name, value in checkpoint(whole)["state_dict"].items())
