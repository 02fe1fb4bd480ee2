"""word2vec against plain loops over pairs, its formulas against numbers by hand, and a toy that it can learn."""

import math

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.word2vec import KEEPING, NOISE, REACH, Word2Vec, cumulative_noise, kept_share
from ssl_zoo.randomness import fold_in, uniform
from tests.made import BEGIN, END, PAD, vocabulary

SIZE = 12
VOCABULARY = vocabulary(SIZE)
# Few tokens, so that pairs occur more than once and drawn tokens equal neighbours; their frequencies differ.
COUNTS = torch.tensor([0, 0, 0, 0, 0, 400, 200, 100, 50, 25, 12, 0])


def make(objective: str = "skip-gram", encoder: type = BagOfTokens, **settings) -> Word2Vec:
    torch.manual_seed(0)
    sizes = {"dim": 8} if encoder is BagOfTokens else {"dim": 8, "depth": 1, "heads": 2}
    model = Word2Vec(encoder(VOCABULARY, **sizes), objective, **{"window": 3, "shared_negatives": 7, **settings})
    with torch.no_grad():
        model.outputs.normal_()
        model.encoder.embed(torch.tensor([[5]]))
        for parameter in model.encoder.parameters():
            parameter.normal_()
    model._use(COUNTS)
    return model.eval()


def packed() -> Batch:
    """Rows of documents that begin and end; the last tokens of the second row are padding."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(5, SIZE - 1, (3, 20), generator=generator)
    documents = torch.ones(3, 20, dtype=torch.int64)
    for row, (first, last) in enumerate(((6, 13), (4, 15), (9, 18))):
        tokens[row, [first, last]], tokens[row, [first + 1, last + 1]] = END, BEGIN
        documents[row, first + 1 :] += 1
        documents[row, last + 1 :] += 1
    documents[1, 17:] = 0
    tokens[1, 17:] = PAD
    return Batch(tokens, documents, None, torch.tensor([4, 0, 9]))


def single() -> Batch:
    batch = packed()
    real = torch.arange(20) < torch.tensor([20, 11, 3])[:, None]
    return batch._replace(inputs=batch.inputs.masked_fill(~real, PAD), mask=real)


BATCHES = pytest.mark.parametrize(
    "batch", [packed(), single(), single()._replace(mask=None)], ids=["packed", "padded", "plain"]
)


def sentences(model: Word2Vec, batch: Batch) -> list[tuple[int, list[tuple[int, int]]]]:
    """Every document without what is left out, as its row and its tokens with how far their windows reach."""
    keys, found = model.keys(batch), []
    length = batch.inputs.shape[1]
    draws, reaches = uniform(fold_in(keys, KEEPING), length), uniform(fold_in(keys, REACH), length)
    mask = torch.ones_like(batch.inputs) if batch.mask is None else batch.mask.long()
    for row in range(len(batch.inputs)):
        for document in range(1, int(mask[row].max()) + 1):
            words = []
            for place in range(length):
                token = int(batch.inputs[row, place])
                if mask[row, place] == document and token > 4:
                    part = int(COUNTS[token]) / int(COUNTS.sum())
                    share = (math.sqrt(part / model.subsampling) + 1) * model.subsampling / part
                    if draws[row, place] < share:
                        words.append((token, 1 + int(model.window * reaches[row, place])))
            found.append((row, words))
    return found


def by_loops(model: Word2Vec, batch: Batch) -> tuple[float, int, torch.Tensor, torch.Tensor]:
    """The loss, the number of pairs, and the gradients of both tables, added up over one pair after the other."""
    v, u = model.encoder.token_embedding.weight.detach().double(), model.outputs.detach().double()
    to_v, to_u, total, pairs = torch.zeros_like(v), torch.zeros_like(u), 0.0, 0
    cumulative = (COUNTS.double() ** 0.75).cumsum(0)
    draws = uniform(fold_in(model.keys(batch), NOISE), model.shared_negatives).double() * cumulative[-1]
    drawn = [[next(w for w in range(SIZE) if cumulative[w] > draw) for draw in row.tolist()] for row in draws]
    for row, words in sentences(model, batch):
        for i, (centre, reach) in enumerate(words):
            around = [j for j in range(len(words)) if j != i and abs(j - i) <= reach]
            if model.objective == "skip-gram":
                predictions = [(words[j][0], [centre]) for j in around]
            else:
                predictions = [(centre, [words[j][0] for j in around])] if around else []
            for target, given in predictions:
                pairs += 1
                h = sum(v[w] for w in given) / len(given)
                terms = [(target, 1.0, 1.0)]
                each = model.negatives / model.shared_negatives
                terms += [(n, 0.0, each) for n in drawn[row] if n != target]
                for word, label, weight in terms:
                    score = float(torch.sigmoid(u[word] @ h))
                    total -= weight * math.log(score if label else 1 - score)
                    to_u[word] += weight * (score - label) * h
                    for w in given:
                        to_v[w] += weight * (score - label) * u[word] / len(given)
    return total / pairs, pairs, to_v / pairs, to_u / pairs


@BATCHES
@pytest.mark.parametrize("objective", ["skip-gram", "cbow"])
@pytest.mark.parametrize("subsampling", [0.05, 1.0])
def test_loss_and_gradients_are_the_sums_over_pairs_by_plain_loops(objective, subsampling, batch):
    model = make(objective, subsampling=subsampling)
    found = model.losses(batch)
    found["loss"].backward()
    loss, pairs, to_v, to_u = by_loops(model, batch)
    assert pairs > (20 if subsampling == 1 else 2)
    assert found["loss"].item() == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(model.encoder.token_embedding.weight.grad.double(), to_v, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.outputs.grad.double(), to_u, atol=1e-5, rtol=1e-5)


@BATCHES
def test_neither_padding_nor_the_order_of_a_batch_changes_anything(batch):
    model, order = make(), torch.tensor([2, 0, 1])
    expected = model.losses(batch)
    mask = None if batch.mask is None else batch.mask[order]
    moved = batch._replace(inputs=batch.inputs[order], mask=mask, index=batch.index[order])
    longer = batch._replace(inputs=F.pad(batch.inputs, (0, 9), value=7))
    mask = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask
    longer = longer._replace(mask=F.pad(mask, (0, 9)))
    for other in (moved, longer):
        for term, value in model.losses(other).items():
            torch.testing.assert_close(value, expected[term], atol=1e-5, rtol=1e-5)


def test_tokens_that_begin_and_end_documents_and_padding_learn_nothing():
    model, batch = make(subsampling=0.0), packed()
    model.losses(batch)["loss"].backward()
    for gradient in (model.encoder.token_embedding.weight.grad, model.outputs.grad):
        assert not gradient[:5].any() and gradient[5:9].abs().sum(1).all()


def test_frequent_tokens_stay_as_in_the_released_code():
    # A token that makes up a tenth, a thousandth and a millionth of a text, with the usual threshold of 0.001.
    counts = torch.tensor([100_000, 1_000, 1, 898_999, 0])
    share = kept_share(counts, 1e-3).tolist()
    assert share[:3] == pytest.approx([(10 + 1) * 0.01, 1.0, 1.0])
    assert share[3:] == pytest.approx([(math.sqrt(898.999) + 1) / 898.999, 0.0])
    assert kept_share(counts, 0.0).tolist() == [1, 1, 1, 1, 0]


def test_drawn_tokens_follow_their_counts_to_the_power_of_three_quarters():
    draws = uniform(fold_in(torch.arange(1000), 1), 1000).flatten()
    drawn = torch.searchsorted(cumulative_noise(COUNTS, 0.75), draws, right=True)
    expected = COUNTS.double() ** 0.75
    found = drawn.bincount(minlength=SIZE) / len(draws)
    torch.testing.assert_close(found, (expected / expected.sum()).float(), atol=2e-3, rtol=0)
    assert not found[COUNTS == 0].any()


def test_shared_draws_weigh_in_the_mean_what_draws_for_every_pair_would():
    batch = packed()
    found = make(subsampling=0.0, shared_negatives=20_000).losses(batch)["loss"].item()
    model = make(subsampling=0.0)
    v, u = model.encoder.token_embedding.weight, model.outputs
    noise = (COUNTS.double() ** 0.75).float()
    noise /= noise.sum()
    nats = []
    for _, words in sentences(make(subsampling=1.0), batch):
        for i, (centre, reach) in enumerate(words):
            for j in range(max(0, i - reach), min(len(words), i + reach + 1)):
                if j != i:
                    scores, target = u @ v[centre], words[j][0]
                    others = noise * (torch.arange(SIZE) != target)
                    nats.append(F.softplus(-scores[target]) + model.negatives * (others * F.softplus(scores)).sum())
    assert found == pytest.approx(torch.stack(nats).mean().item(), rel=0.02)


@pytest.mark.parametrize("objective", ["skip-gram", "cbow"])
def test_words_that_share_neighbours_become_alike(objective):
    """Words 5 to 7 stand among each other, and so do 8 to 10."""
    torch.manual_seed(0)
    model = Word2Vec(BagOfTokens(VOCABULARY, 8), objective, window=2, subsampling=0.0)
    topics = torch.randint(2, (64, 1), generator=torch.Generator().manual_seed(0))
    batch = Batch(5 + 3 * topics + torch.randint(3, (64, 12)), None, None, torch.arange(64))
    model._use(batch.inputs.flatten().bincount(minlength=SIZE))
    optimizer = torch.optim.Adagrad(model.parameters(), 0.1)
    for step in range(60):
        optimizer.zero_grad()
        found = model.losses(batch._replace(index=batch.index + 64 * step))
        if step == 0:
            assert model.chance_loss(64) * 0.75 < found["loss"].item() <= model.chance_loss(64)  # less what equals
        found["loss"].backward()
        optimizer.step()
    words = F.normalize(model.encoder.token_embedding.weight.detach()[5:11], dim=1)
    alike = words @ words.T
    assert alike[:3, :3].min() > alike[:3, 3:].max() + 0.5 and alike[3:, 3:].min() > alike[:3, 3:].max() + 0.5


@BATCHES
def test_features_are_of_one_vector_or_of_the_sum_of_both(batch):
    model = make()
    assert torch.equal(model.encode(batch).pooled, model.encoder(batch.inputs, batch.mask).pooled)
    summed = make(add_outputs=True)
    table = (summed.encoder.token_embedding.weight + summed.outputs).detach()
    real = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask > 0
    texts = [row[keep & (row >= 5)] for row, keep in zip(batch.inputs, real, strict=True)]
    expected = torch.stack([table[text].mean(0) / table[text].mean(0).norm() for text in texts])
    found = summed.encode(batch, layers=True)
    torch.testing.assert_close(found.pooled.detach(), expected)
    assert torch.equal(found.sequence, table[batch.inputs]) and torch.equal(found.layers[0], found.sequence)
    assert torch.equal(summed.losses(batch)["loss"], model.losses(batch)["loss"])


@pytest.mark.parametrize("objective", ["skip-gram", "cbow"])
def test_texts_without_pairs_sound_an_alarm(objective):
    model, batch = make(objective, subsampling=1.0), single()
    (alarm,) = (each for each in model.alarms(3) if each.metric == "train/pairs")
    pairs = model.losses(batch)["pairs"].item()
    assert pairs == pytest.approx(by_loops(model, batch)[1] / 3) and not alarm.sounds({alarm.metric: pairs})
    alone = batch._replace(mask=batch.mask & (torch.arange(20) == 2))  # texts of one token
    found = model.losses(alone)
    assert found["loss"] == 0 and alarm.sounds({alarm.metric: found["pairs"].item()})


def test_any_text_encoder_gives_the_table():
    model = make(encoder=BertEncoder)
    model.losses(packed())["loss"].backward()
    assert model.encoder.token_embedding.weight.grad[5:].any()


def test_what_cannot_work_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^Word2Vec learns the vectors of words, and MLP reads none: [^.]*\.$"):
        Word2Vec(MLP(hidden=[8]))
    for settings in (
        {"window": 0},
        {"negatives": 0},
        {"shared_negatives": 0},
        {"subsampling": -0.1},
        {"objective": "glove"},
    ):
        with pytest.raises(InputError, match=rf"^Word2Vec: {next(iter(settings))} is [^.]*"):
            Word2Vec(BagOfTokens(VOCABULARY, 8), **settings)
