import logging
import math

import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2LMHeadModel

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.gpt import GPT
from ssl_zoo.parts.generation import language_model
from tests.made import BEGIN, END, PAD, SPECIAL, vocabulary

VOCABULARY = vocabulary(37)
ROWS, LENGTH = 6, 24


def make(**settings) -> GPT:
    torch.manual_seed(0)
    return GPT(GPT2Encoder(VOCABULARY, dim=32, depth=2, heads=2, max_length=32, dropout=0.0), **settings)


def scaled(model: GPT) -> GPT:
    """The weights that training starts from are so small that vectors hardly depend on their context."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model.eval()


def padded() -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([24, 10, 17, 24, 5, 2])
    ids = torch.randint(5, 37, (ROWS, LENGTH), generator=generator)
    ids[:, 0] = BEGIN
    ids[torch.arange(ROWS), lengths - 1] = END
    mask = torch.arange(LENGTH) < lengths[:, None]
    return Batch(ids.masked_fill(~mask, PAD), mask, None, torch.arange(10, 10 + ROWS))


def packed() -> Batch:
    documents = (torch.arange(LENGTH) // 7 + 1).repeat(ROWS, 1)
    documents[1, 20:] = 0
    ids = torch.randint(5, 37, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    ids[:, 6::7] = END
    return Batch(ids.masked_fill(documents == 0, PAD), documents, None, torch.arange(ROWS))


def reference(model: GPT) -> GPT2LMHeadModel:
    """The library's model with a copy of the weights."""
    whole = GPT2LMHeadModel(model.encoder.model.config).eval()
    whole.transformer.load_state_dict(model.encoder.model.state_dict())
    return whole


def test_padding_behind_a_text_that_has_ended_is_no_reason_for_advice_about_masks(monkeypatch):
    logger, said = logging.getLogger("transformers.modeling_utils"), []
    logging.Logger.warning_once.cache_clear()  # the library gives it once for all
    monkeypatch.setattr(logger, "handle", lambda record: said.append(record) if logger.filter(record) else None)
    batch = padded()
    model = scaled(make(prompt_tokens=16, max_new_tokens=12))
    written = model.generate(batch._replace(inputs=batch.inputs[:, :20], mask=None))
    assert (written == END).any() and (written[:, -1] == PAD).any() and not said


def test_loss_and_gradients_are_those_of_the_librarys_model():
    for batch in (padded(), padded()._replace(inputs=padded().inputs.clamp_min(5), mask=None)):
        model = scaled(make())
        whole = reference(model)
        truth = batch.inputs if batch.mask is None else batch.inputs.masked_fill(~batch.mask, -100)
        attention = torch.ones_like(batch.inputs) if batch.mask is None else batch.mask
        expected = whole(batch.inputs, attention_mask=attention, labels=truth).loss
        terms = model.losses(batch)
        torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(terms["perplexity"], expected.detach().exp(), atol=1e-3, rtol=1e-5)
        terms["loss"].backward()
        expected.backward()
        theirs = dict(whole.transformer.named_parameters())
        for name, parameter in model.encoder.model.named_parameters():
            torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_padded_and_packed_batches_have_the_loss_of_their_documents_alone():
    model = scaled(make())
    whole = reference(model)
    for batch in (padded(), packed()):
        nats, targets, size = 0.0, 0, 0
        shares = torch.randint(0, 6, (ROWS, LENGTH), generator=torch.Generator().manual_seed(2))
        for row in range(ROWS):
            numbers = batch.mask[row].long()
            for number in numbers.unique():
                document = batch.inputs[row, numbers == number][None]
                if number > 0 and document.shape[1] > 1:
                    nats += float(whole(document, labels=document).loss) * (document.shape[1] - 1)
                    targets += document.shape[1] - 1
                    size += int(shares[row, numbers == number][1:].sum())
        assert "bits_per_byte" not in model.losses(batch)
        terms = model.losses(batch._replace(fields={"bytes": shares}))
        assert float(terms["loss"]) == pytest.approx(nats / targets, abs=1e-5)
        assert float(terms["bits_per_byte"]) == pytest.approx(nats / math.log(2) / size, abs=1e-5)
    as_one = packed()._replace(mask=packed().mask > 0)
    assert abs(float(model.losses(as_one)["loss"]) - nats / targets) > 1e-3


def test_it_starts_at_the_chance_loss_and_every_parameter_learns():
    model = make()
    loss = model.losses(padded())["loss"]
    assert float(loss.detach()) == pytest.approx(model.chance_loss(ROWS), abs=0.2)
    assert model.chance_loss(1) == pytest.approx(math.log(37))
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_without_biases_there_are_none_to_learn_and_the_librarys_model_has_zeros():
    torch.manual_seed(0)
    model = scaled(GPT(GPT2Encoder(VOCABULARY, dim=32, depth=2, heads=2, max_length=32, dropout=0.0, bias=False)))
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
    whole = reference(model)
    biases = [parameter for name, parameter in whole.named_parameters() if name.endswith("bias")]
    assert len(biases) == 2 * 6 + 1 and not any(bias.any() for bias in biases)
    batch = padded()
    truth = batch.inputs.masked_fill(~batch.mask, -100)
    expected = whole(batch.inputs, attention_mask=batch.mask, labels=truth).loss
    torch.testing.assert_close(model.losses(batch)["loss"], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    model = make().eval()
    exact = model.losses(padded())["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(padded())["loss"]
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, atol=0.02, rtol=0)


def alternating(count: int, seed: int) -> torch.Tensor:
    """Documents that repeat two tokens: a b a b a b."""
    return torch.randint(5, 37, (count, 2), generator=torch.Generator().manual_seed(seed)).repeat(1, 7)


def noise(count: int, seed: int) -> torch.Tensor:
    """Documents of tokens that nothing predicts."""
    return torch.randint(5, 37, (count, 14), generator=torch.Generator().manual_seed(seed))


def train(model: GPT, language, steps: int) -> float:
    """Trains on new documents at every step; returns the loss on unseen ones."""

    def batch(seed: int, rows: int) -> Batch:
        text = language(rows, seed)
        ids = torch.cat([torch.full((rows, 1), BEGIN), text, torch.full((rows, 1), END)], dim=1)
        return Batch(ids, None, None, torch.arange(rows))

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(batch(step, 32))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return float(model.losses(batch(10**6, 500))["loss"])


def test_it_learns_a_language_down_to_its_entropy_and_nothing_where_there_is_nothing_to_learn():
    # Two tokens of a document are free, all others and the end follow.
    entropy = 2 * math.log(32) / 15
    assert entropy - 0.02 < train(make(), alternating, 200) < entropy + 0.15
    entropy = 14 * math.log(32) / 15
    assert entropy - 0.02 < train(make(), noise, 100) < entropy + 0.05
    # The test would notice an encoder that sees what it is to predict.
    leaky = make()
    for layer in leaky.encoder.model.h:
        layer.attn.is_causal = False
    assert train(leaky, noise, 100) < 1.5


def prompt(batch: Batch, row: int, most: int) -> list[int]:
    """The first tokens of a row's first document, without its end."""
    ids = batch.inputs[row].tolist()
    if batch.mask is not None:
        ids = ids[: int((batch.mask[row] == batch.mask[row, 0]).sum())]
    return ids[:-1][:most] if ids[-1] == END else ids[:most]


def next_logits(model: GPT, tokens: list[int]) -> torch.Tensor:
    """Of one text alone, without a cache; special tokens other than the end are never written."""
    logits = model.token_logits(model.encoder(torch.tensor([tokens])).sequence)[0, -1]
    return logits.index_fill(0, torch.tensor([token for token in SPECIAL if token != END]), -torch.inf)


def greedy(model: GPT, tokens: list[int], steps: int) -> list[int]:
    for _ in range(steps):
        tokens = [*tokens, int(next_logits(model, tokens).argmax())]
        if tokens[-1] == END:
            break
    return tokens


@pytest.mark.parametrize("batch", [padded(), packed(), padded()._replace(mask=None)], ids=["padded", "packed", "full"])
@torch.no_grad()
def test_greedy_texts_are_those_of_the_likeliest_token_at_each_step(batch):
    ends = []
    for prompt_tokens in (3, 8):
        model = scaled(make(temperature=0, prompt_tokens=prompt_tokens, max_new_tokens=12))
        model.encoder.token_embedding.weight[END] *= 1.6  # some texts are to end early
        written = model.generate(batch)
        for row in range(ROWS):
            expected = greedy(model, prompt(batch, row, prompt_tokens), 12)
            assert written[row].tolist() == expected + [PAD] * (written.shape[1] - len(expected))
            ends.append(expected[-1] == END)
    assert any(ends) and not all(ends)


@torch.no_grad()
def test_a_text_longer_than_the_context_goes_on_from_its_last_half():
    model, batch = scaled(make(temperature=0, prompt_tokens=8, max_new_tokens=70)), padded()._replace(mask=None)
    model.encoder.token_embedding.weight[END] *= 1.2
    written = model.generate(batch)
    ended = 0
    for row in range(ROWS):
        ids, start = prompt(batch, row, 8), 0
        while len(ids) < 78 and ids[-1] != END:
            if len(ids) - start == model.encoder.max_length:
                start = len(ids) - model.encoder.max_length // 2
            ids.append(int(next_logits(model, ids[start:]).argmax()))
        ended += ids[-1] == END
        assert written[row].tolist() == ids + [PAD] * (written.shape[1] - len(ids))
    assert 0 < ended < ROWS


@torch.no_grad()
def test_texts_may_end_early():
    model = scaled(make(temperature=1.0, prompt_tokens=4, max_new_tokens=25))
    batch = padded()._replace(inputs=padded().inputs[:1].repeat(200, 1), mask=None, index=torch.arange(200))
    rows = model.generate(batch).tolist()
    ended = [row for row in rows if END in row]
    assert 20 < len(ended) < 200
    assert all(set(row[row.index(END) + 1 :]) <= {PAD} for row in ended)
    assert all(not set(row[4:]) & {PAD, BEGIN, 3, 4} for row in rows if END not in row)


@torch.no_grad()
def test_drawing_among_one_token_is_greedy():
    batch = padded()
    first = scaled(make(temperature=0, max_new_tokens=10)).generate(batch)
    assert torch.equal(scaled(make(top_k=1, max_new_tokens=10)).generate(batch), first)
    assert torch.equal(scaled(make(temperature=1e-4, max_new_tokens=10)).generate(batch), first)
    assert torch.equal(scaled(make(top_p=0.0, max_new_tokens=10)).generate(batch), first)
    assert not torch.equal(scaled(make(max_new_tokens=10)).generate(batch), first)


@pytest.mark.parametrize("settings", [{}, {"temperature": 2.0}, {"top_k": 4}, {"top_p": 0.7, "temperature": 1.5}])
@torch.no_grad()
def test_first_tokens_are_drawn_from_the_distribution_asked_for(settings):
    model = scaled(make(max_new_tokens=1, prompt_tokens=6, **settings))
    with torch.no_grad():
        model.encoder.token_embedding.weight.mul_(0.4)  # a distribution with more than one likely token
    draws = 20_000
    ids = padded().inputs[:1, :7].repeat(draws, 1)
    written = model.generate(Batch(ids, None, None, torch.arange(draws)))
    assert torch.equal(written[:, :6], ids[:, :6])
    logits = next_logits(model, ids[0, :6].tolist()).double() / settings.get("temperature", 1.0)
    chances = logits.softmax(0)
    order = chances.argsort(descending=True).tolist()
    kept, total = [], 0.0
    for token in order:  # the shortest list of likeliest tokens that has the probability asked for
        if total < settings.get("top_p", 1.0) and len(kept) < settings.get("top_k", 37):
            kept.append(token)
            total += float(chances[token])
    allowed = torch.zeros(37, dtype=torch.float64)
    allowed[kept] = chances[kept] / chances[kept].sum()
    found = torch.bincount(written[:, 6], minlength=37)
    assert ((found - draws * allowed).abs() <= 5 * (draws * allowed * (1 - allowed)).sqrt() + 1e-9).all()
    assert int((found > 0).sum()) >= 3


@torch.no_grad()
def test_a_text_depends_on_the_seed_its_key_and_its_prompt_alone():
    model, batch = scaled(make(max_new_tokens=10, prompt_tokens=12)), padded()
    written = model.generate(batch)
    torch.manual_seed(123)
    assert torch.equal(model.generate(batch), written)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Batch(*(None if each is None else each[order] for each in batch))
    assert torch.equal(model.generate(shuffled), written[order])
    short = Batch(batch.inputs[4:5, :5], None, None, batch.index[4:5])
    alone = model.generate(short)[0]
    assert torch.equal(alone, written[4, : len(alone)])
    again = model.generate(batch._replace(index=batch.index + 100))
    model.noise_seed += 1
    assert not torch.equal(model.generate(batch), written) and not torch.equal(again, written)


@torch.no_grad()
def test_a_search_finds_texts_no_less_likely_than_greedy_ones():
    def log_likelihoods(beams: int) -> list[float]:
        model = scaled(make(temperature=0, beams=beams, max_new_tokens=8, prompt_tokens=6))
        model.encoder.token_embedding.weight.mul_(0.5)
        rows, found = model.generate(padded()).tolist(), []
        for row, whole in enumerate(rows):
            start = len(prompt(padded(), row, 6))
            stop = whole.index(END) + 1 if END in whole else start + 8
            logits = [next_logits(model, whole[:place]) for place in range(start, stop)]
            found.append(sum(float(F.log_softmax(each, 0)[whole[start + i]]) for i, each in enumerate(logits)))
        return found

    first, searched = log_likelihoods(1), log_likelihoods(8)
    assert all(theirs >= ours - 1e-4 for ours, theirs in zip(first, searched, strict=True))
    assert sum(searched) > sum(first) + 0.1


@torch.no_grad()
def test_it_writes_with_a_cache_and_without_copying_weights(monkeypatch):
    model = scaled(make(max_new_tokens=5, prompt_tokens=8))
    trunk, lengths = model.encoder.model, []
    forward = type(trunk).forward

    def spy(self, input_ids, **named):
        lengths.append(input_ids.shape[1])
        assert self is trunk
        return forward(self, input_ids, **named)

    monkeypatch.setattr(type(trunk), "forward", spy)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.predict_step(padded(), 0)
    assert lengths == [8, 1, 1, 1, 1]
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(after[name], value) for name, value in before.items())
    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert {parameter.data_ptr() for parameter in language_model(model.encoder).parameters()} == own
    assert trunk.config.use_cache is False


def test_a_tokenizer_with_an_end_token_only_will_do():
    vocabulary = {**VOCABULARY, "pad": 36, "begin": None, "end": 36, "mask": None, "unknown": None, "special": [36]}
    torch.manual_seed(0)
    encoder = GPT2Encoder(vocabulary, dim=16, depth=1, heads=2, max_length=32)
    model = GPT(encoder, prompt_tokens=4, max_new_tokens=5, temperature=0).eval()
    ids = torch.tensor([[5, 6, 7, 8, 9, 36], [5, 6, 36, 36, 36, 36]])
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    shares = {"bytes": torch.tensor([[9, 4, 4, 4, 4, 1], [9, 4, 1, 0, 0, 0]])}
    batch = Batch(ids, mask, None, torch.arange(2), shares)
    # Five targets in the first row and two in the second, the ends among them.
    nats = F.cross_entropy(model.token_logits(encoder(ids).sequence)[0, :-1], ids[0, 1:], reduction="sum")
    nats = nats + F.cross_entropy(model.token_logits(encoder(ids).sequence)[1, :2], ids[1, 1:3], reduction="sum")
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], nats / 7)
    assert float(terms["bits_per_byte"]) == pytest.approx(float(nats.detach()) / math.log(2) / 22, rel=1e-5)
    written = model.generate(batch)
    assert written.shape[0] == 2 and written[0, :4].tolist() == [5, 6, 7, 8] and written[1, :2].tolist() == [5, 6]


def test_what_cannot_work_is_refused():
    for encoder in (BertEncoder(VOCABULARY, dim=8, depth=1, heads=1), MLP(hidden=[8])):
        with pytest.raises(InputError, match=f"causal text encoder, which {type(encoder).__name__} is not"):
            GPT(encoder)
    wrong = [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"prompt_tokens": 0}, "prompt_tokens is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 1.5}, r"top_p is 1\.5"),
        ({"beams": 0}, "beams is 0"),
        ({"beams": 2}, "set temperature to 0"),
    ]
    for settings, message in wrong:
        with pytest.raises(InputError, match=message):
            make(**settings)
    with pytest.raises(InputError, match=r"16 tokens of prompt and 20 new ones are more than .* 32"):
        make(max_new_tokens=20, beams=2, temperature=0).generate(padded())
