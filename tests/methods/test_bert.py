import math

import pytest
import torch
from torch.nn import functional as F
from transformers import BertForMaskedLM

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.words import RandomNGrams, RandomWords, RandomWordSpans
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.modern_bert import ModernBertEncoder
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.bert import BERT, MASKING, PAIRS
from ssl_zoo.randomness import fold_in
from tests.made import BEGIN, END, PAD, vocabulary

VOCABULARY = vocabulary(37)
ROWS, LENGTH = 6, 24


def make(encoder: type = BertEncoder, **settings) -> BERT:
    torch.manual_seed(0)
    return BERT(encoder(VOCABULARY, dim=32, depth=2, heads=2, max_length=32, dropout=0.0), **settings)


def scaled(model: BERT) -> BERT:
    """The weights that training starts from are so small that vectors hardly depend on their context."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model.eval()


def padded() -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([24, 10, 17, 24, 3, 13])
    ids = torch.randint(5, 37, (ROWS, LENGTH), generator=generator)
    ids[:, 0] = BEGIN
    ids[torch.arange(ROWS), lengths - 1] = END
    mask = torch.arange(LENGTH) < lengths[:, None]
    return Batch(ids.masked_fill(~mask, PAD), mask, None, torch.arange(10, 10 + ROWS))


def corrupted(model: BERT, batch: Batch) -> tuple[torch.Tensor, Hidden]:
    return model.corruption(batch.inputs, batch.mask, fold_in(model.keys(batch), MASKING))


def labels(batch: Batch, hidden: Hidden) -> torch.Tensor:
    """What the transformers library wants: the true token where it is to be predicted, -100 elsewhere."""
    labels = torch.full_like(batch.inputs, -100)
    for row in range(len(labels)):
        for place, valid in zip(hidden.positions[row], hidden.valid[row], strict=True):
            if valid:
                labels[row, place] = batch.inputs[row, place]
    return labels


def reference(model: BERT) -> BertForMaskedLM:
    """The library's model with the same weights."""
    whole = BertForMaskedLM(model.encoder.model.config).eval()
    whole.bert.load_state_dict(model.encoder.model.state_dict())
    dense, _, norm = model.head
    whole.cls.predictions.transform.dense.load_state_dict(dense.state_dict())
    whole.cls.predictions.transform.LayerNorm.load_state_dict(norm.state_dict())
    with torch.no_grad():
        whole.cls.predictions.decoder.bias.copy_(model.head_bias)
    return whole


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_ratio": 0.3},
        {"mask_ratio": 0.3, "whole_words": True},
        {"masking": RandomNGrams(0.3)},
        {"masking": RandomWordSpans(0.3)},
    ],
    ids=["tokens", "words", "n-grams", "spans"],
)
def test_loss_and_gradients_are_those_of_the_librarys_model(settings):
    model, batch = scaled(make(**settings)), padded()
    with torch.no_grad():
        model.head_bias.normal_()
    whole = reference(model)
    inputs, hidden = corrupted(model, batch)
    expected = whole(inputs, attention_mask=batch.mask, labels=labels(batch, hidden)).loss
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(terms["perplexity"], expected.detach().exp(), atol=1e-3, rtol=1e-5)
    terms["loss"].backward()
    expected.backward()
    theirs = dict(whole.bert.named_parameters())
    for name, parameter in model.encoder.model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.head_bias.grad, whole.cls.predictions.decoder.bias.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        model.head[0].weight.grad, whole.cls.predictions.transform.dense.weight.grad, atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_accuracy_is_how_often_the_likeliest_token_is_the_hidden_one():
    model, batch = scaled(make(mask_ratio=0.8)), padded()
    inputs, hidden = corrupted(model, batch)
    truth = labels(batch, hidden)
    predicted = reference(model)(inputs, attention_mask=batch.mask).logits.argmax(-1)
    hits = [bool(predicted[place] == truth[place]) for place in zip(*(truth != -100).nonzero().T, strict=True)]
    assert float(model.losses(batch)["accuracy"]) == pytest.approx(sum(hits) / len(hits))


def summed_by_documents(model: BERT, batch: Batch, documents: torch.Tensor) -> float:
    """The mean loss over hidden tokens, every document seen by the encoder alone."""
    inputs, hidden = corrupted(model, batch)
    truth, total, count = labels(batch, hidden), 0.0, 0
    for row in range(len(documents)):
        for number in documents[row].unique():
            here = documents[row] == number
            if number == 0 or not (truth[row, here] != -100).any():
                continue
            logits = model.token_logits(model.encoder(inputs[row, here][None]).sequence)[0]
            total += float(F.cross_entropy(logits, truth[row, here], reduction="sum"))
            count += int((truth[row, here] != -100).sum())
    return total / count


@pytest.mark.parametrize("encoder", [BertEncoder, ModernBertEncoder])
@torch.no_grad()
def test_padded_and_packed_batches_have_the_loss_of_their_documents_alone(encoder):
    model, batch = scaled(make(encoder, mask_ratio=0.3)), padded()
    alone = summed_by_documents(model, batch, batch.mask.long())
    assert float(model.losses(batch)["loss"]) == pytest.approx(alone, abs=1e-5)

    documents = (torch.arange(LENGTH) // 9 + 1).repeat(ROWS, 1)
    documents[1, 20:] = 0
    packed = Batch(batch.inputs.clamp_min(5), documents, None, batch.index)
    alone = summed_by_documents(model, packed, documents)
    assert float(model.losses(packed)["loss"]) == pytest.approx(alone, abs=1e-5)
    one_document = packed._replace(mask=documents > 0)
    assert abs(float(model.losses(one_document)["loss"]) - alone) > 0.01


@pytest.mark.parametrize("task", ["nsp", "sop"])
@torch.no_grad()
def test_a_sentence_task_adds_its_cross_entropy_over_the_pairs_that_count(task):
    model, batch = scaled(make(sentence_task=task)), padded()._replace(index=torch.arange(30, 30 + ROWS))
    terms = model.losses(batch)
    pairs = model.pairs(batch.inputs, batch.mask, fold_in(model.keys(batch), PAIRS))
    assert pairs.labels.any() and 1 < int(pairs.valid.sum()) < ROWS
    paired = batch._replace(inputs=pairs.inputs, mask=pairs.mask)
    inputs, hidden = corrupted(model, paired)
    segments = torch.tensor(
        [[min(1, row[:place].count(END)) for place in range(len(row))] for row in pairs.inputs.tolist()]
    )
    whole = reference(model)
    out = whole(
        inputs,
        attention_mask=pairs.mask,
        token_type_ids=segments,
        labels=labels(paired, hidden),
        output_hidden_states=True,
    )
    logits = model.pair_head(out.hidden_states[-1][:, 0])
    counted = [row for row in range(ROWS) if pairs.valid[row]]
    expected = sum(float(F.cross_entropy(logits[row], pairs.labels[row])) for row in counted) / len(counted)
    assert float(terms["pair_loss"]) == pytest.approx(expected, abs=1e-5)
    assert float(terms["loss"]) == pytest.approx(float(out.loss) + expected, abs=1e-4)
    hits = [bool(logits[row].argmax() == pairs.labels[row]) for row in counted]
    assert float(terms["pair_accuracy"]) == pytest.approx(sum(hits) / len(hits))


def test_it_starts_at_the_chance_loss_and_every_parameter_learns():
    for task in ("none", "sop", "nsp"):
        for encoder in (BertEncoder, ModernBertEncoder):
            model = make(encoder, sentence_task=task)
            loss = model.losses(padded())["loss"]
            assert float(loss.detach()) == pytest.approx(model.chance_loss(ROWS), abs=0.2)
            loss.backward()
            assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert make().chance_loss(1) == pytest.approx(math.log(37))


def test_an_examples_part_does_not_depend_on_its_place_in_the_batch():
    batch, order = padded(), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Batch(*(None if each is None else each[order] for each in batch))
    for task in ("none", "nsp", "sop"):
        model = scaled(make(sentence_task=task))
        ours, theirs = model.losses(batch), model.losses(shuffled)
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-5)


def test_words_are_hidden_in_the_same_places_whichever_way_they_are_asked_for():
    for settings in ({}, {"mask_ratio": 0.4}):
        named = make(masking=RandomWords(settings.get("mask_ratio", 0.15)))
        expected = corrupted(make(whole_words=True, **settings), padded())
        found = corrupted(named, padded())
        assert torch.equal(found[0], expected[0]) and all(map(torch.equal, found[1], expected[1]))
    assert (
        int(corrupted(make(masking=RandomNGrams(1.0)), padded())[1].mask.sum()) == int(padded().mask.sum()) - 2 * ROWS
    )


def test_validation_hides_the_same_tokens_every_time_and_training_others():
    model, batch = make(), padded()
    model.eval()
    validation, _ = corrupted(model, batch)
    assert torch.equal(validation, corrupted(model, batch)[0])
    model.train()
    assert not torch.equal(validation, corrupted(model, batch)[0])


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    model, batch = make(sentence_task="sop").eval(), padded()
    exact = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(batch)
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], exact["loss"], atol=0.02, rtol=0)


def test_probes_see_the_pooled_vectors_of_the_text_as_it_is():
    model, batch = make(sentence_task="sop").eval(), padded()
    assert torch.equal(model.encode(batch).pooled, model.encoder(batch.inputs, batch.mask).pooled)


def alternating(count: int, seed: int) -> torch.Tensor:
    """Documents that repeat two tokens: a b a b a b."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, 37, (count, 2), generator=generator).repeat(1, 8)


def rising(count: int, seed: int) -> torch.Tensor:
    """Documents whose tokens rise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 32, generator=generator).argsort(1)[:, :16].sort(1).values + 5


def topical(count: int, seed: int) -> torch.Tensor:
    """Documents of one of eight topics with four tokens each."""
    generator = torch.Generator().manual_seed(seed)
    topic = torch.randint(0, 8, (count, 1), generator=generator)
    return torch.randint(0, 4, (count, 16), generator=generator) + 4 * topic + 5


def train(model: BERT, language, steps: int, packed: bool = False) -> dict[str, float]:
    """Trains on new documents at every step; returns the terms on unseen ones."""

    def batch(seed: int, rows: int) -> Batch:
        text = language(rows, seed)
        ids = torch.cat([torch.full((rows, 1), BEGIN), text, torch.full((rows, 1), END)], dim=1)
        # With every token a document of its own there is no context.
        mask = torch.arange(1, ids.shape[1] + 1).repeat(rows, 1) if packed else None
        return Batch(ids, mask, None, torch.arange(rows) + seed * rows)

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(batch(step, 32))["loss"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return {name: float(value) for name, value in model.losses(batch(10**6, 500)).items()}


def test_it_learns_a_language_from_its_context_and_without_context_it_cannot():
    found = train(make(), alternating, 170)
    assert found["accuracy"] > 0.9 and found["perplexity"] < 2
    blind = train(make(), alternating, 170, packed=True)
    # A tenth of the tokens to predict are left as they are.
    assert blind["accuracy"] < 0.25 and blind["perplexity"] > 10


def test_it_learns_the_order_of_segments():
    assert train(make(sentence_task="sop"), rising, 150)["pair_accuracy"] > 0.9


def test_it_learns_which_segments_belong_together():
    # Of the spoilt pairs an eighth share their topic by chance.
    found = train(make(sentence_task="nsp"), topical, 400)["pair_accuracy"]
    assert 0.85 < found < 0.98


def test_what_cannot_work_is_refused():
    for encoder in (GPT2Encoder(VOCABULARY, dim=8, depth=1, heads=1), MLP(hidden=[8])):
        with pytest.raises(InputError, match=f"bidirectional text encoder, which {type(encoder).__name__} is not"):
            BERT(encoder)
    with pytest.raises(InputError, match="no mask token"):
        BERT(BertEncoder({**VOCABULARY, "mask": None}, dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match="begin with a token"):
        BERT(BertEncoder({**VOCABULARY, "begin": None}, dim=8, depth=1, heads=1), sentence_task="nsp")
    for settings in ({"mask_ratio": 0.15}, {"whole_words": True}):
        with pytest.raises(
            InputError, match=r"^BERT: mask_ratio and whole_words say [^.]* set model\.mask_ratio to null"
        ):
            make(masking=RandomNGrams(), **settings)
    packed = padded()._replace(mask=torch.ones(ROWS, LENGTH, dtype=torch.int64))
    with pytest.raises(InputError, match=r"set data\.packing to false"):
        make(sentence_task="sop").losses(packed)


def test_texts_that_are_longer_than_the_encoder_reads_are_refused_before_one_comes():
    for task, most in (("none", 32), ("nsp", 31), ("sop", 31)):
        model = make(sentence_task=task)
        model.check_texts(most, packed=False)
        longest = torch.full((2, most), VOCABULARY["begin"] + 1)
        model.losses(Batch(longest, None, None, torch.arange(2)))  # which works
        with pytest.raises(InputError, match=rf"up to {most + 1} tokens, data\.length, .* max_length is 32: lower"):
            model.check_texts(most + 1, packed=False)
