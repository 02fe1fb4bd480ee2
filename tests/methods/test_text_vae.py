"""The text VAE's bound in plain loops, what its decoder sees, and that its code says something."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.text_vae import DROPPED, LATENT, STEPS, TextVAE
from ssl_zoo.randomness import fold_in, normal, uniform
from tests.made import BEGIN, END, PAD, vocabulary

VOCABULARY = vocabulary(12)
TEXTS = [[BEGIN, 5, 6, 6, 11, END], [BEGIN, 7, END, PAD, PAD, PAD]]


def batch() -> Batch:
    inputs = torch.tensor(TEXTS)
    return Batch(inputs, inputs != PAD, None, torch.arange(2))


def make(**settings) -> TextVAE:
    torch.manual_seed(0)
    encoder = BertEncoder(VOCABULARY, dim=16, depth=1, heads=2, max_length=12, dropout=0.0)
    model = TextVAE(encoder, **{"latent_dim": 3, "decoder_dim": 10, "max_new_tokens": 8, **settings})
    with torch.no_grad():
        model.decoder.dropped.normal_()
        model.decoder.bias.normal_()
    return model


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_the_loss_is_the_bound_in_plain_loops(training):
    model, data = make(word_dropout=0.5, kl_warmup=0.0).train(training), batch()
    decoder, keys = model.decoder, model.keys(data)
    mean, log_variance = model.posterior(data)
    noise, draws = normal(fold_in(keys, LATENT), 3), uniform(fold_in(keys, DROPPED), 5)
    cell = nn.LSTMCell(16 + 3, 10)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).copy_(getattr(decoder.lstm, f"{name}_l0"))
    words = divergence = tokens = left_out = 0
    for row, text in enumerate(TEXTS):
        text = [token for token in text if token != PAD]
        latent = mean[row] + (0.5 * log_variance[row]).exp() * noise[row]
        first = decoder.state.weight @ latent + decoder.state.bias
        state = (first[:10].tanh()[None], first[10:][None])
        for place in range(len(text) - 1):
            hidden = training and place > 0 and float(draws[row, place]) < 0.5
            left_out += hidden
            read = decoder.dropped if hidden else decoder.tokens.weight[text[place]]
            state = cell(torch.cat([read, latent])[None], state)
            logits = decoder.tokens.weight @ (decoder.output.weight @ state[0][0] + decoder.output.bias) + decoder.bias
            words -= float(F.cross_entropy(logits, torch.tensor(text[place + 1])))
            tokens += 1
        posterior = Normal(mean[row], (0.5 * log_variance[row]).exp())
        divergence += float(kl_divergence(posterior, Normal(0.0, 1.0)).sum())
    assert bool(left_out) == training
    terms = {name: float(value) for name, value in model.losses(data).items()}
    assert terms["loss"] == pytest.approx((divergence - words) / 2, abs=1e-5)
    assert terms["reconstruction"] == pytest.approx(words / 2, abs=1e-5)
    assert terms["kl"] == pytest.approx(divergence / 2, abs=1e-6)
    assert terms["elbo"] == pytest.approx((words - divergence) / 2, abs=1e-5)
    assert terms["perplexity"] == pytest.approx(math.exp((divergence - words) / tokens), rel=1e-5)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (1.0, 1.0)])
def test_the_kl_gains_its_weight_over_a_part_of_the_run(monkeypatch, progress, share):
    model = make(kl_warmup=0.4).train()
    monkeypatch.setattr(TextVAE, "progress", progress)
    terms = {name: float(value.detach()) for name, value in model.losses(batch()).items()}
    assert terms["loss"] == pytest.approx(share * terms["kl"] - terms["reconstruction"], abs=1e-5)
    assert terms["elbo"] == pytest.approx(terms["reconstruction"] - terms["kl"], abs=1e-5)


@pytest.mark.parametrize("free_bits", [0.0, 5.0])
def test_the_loss_in_validation_is_the_bound_itself_however_little_the_kl_weighs_in_training(monkeypatch, free_bits):
    model = make(kl_warmup=0.4, free_bits=free_bits).eval()
    monkeypatch.setattr(TextVAE, "progress", 0.1)
    terms = {name: float(value.detach()) for name, value in model.losses(batch()).items()}
    assert terms["kl"] > 0 and terms["loss"] == pytest.approx(-terms["elbo"], abs=1e-5)


def test_the_decoder_sees_what_comes_before_and_the_code_and_never_what_it_is_to_predict():
    decoder = make().decoder
    latents = torch.randn(1, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    inputs = torch.tensor([[BEGIN, 5, 6, 7, 8]])
    found = []
    decoder.tokens.register_forward_hook(lambda _module, _inputs, output: found.append(output) or output.retain_grad())
    vectors, _ = decoder(latents, inputs, torch.tensor([[False, False, True, False, False]]))
    vectors[0, 3].square().sum().backward()
    moved = found[0].grad[0].abs().sum(1) > 0
    assert moved.tolist() == [True, True, False, True, False]  # one is left out, one comes after
    assert (latents.grad != 0).all()


@torch.no_grad()
def test_padding_and_the_order_of_the_batch_change_nothing():
    model, whole = make().train(), batch()
    expected = float(model.losses(whole)["loss"])
    longer = whole._replace(inputs=F.pad(whole.inputs, (0, 2), value=PAD), mask=F.pad(whole.mask, (0, 2)))
    assert float(model.losses(longer)["loss"]) == pytest.approx(expected, abs=1e-5)
    turned = Batch(*(None if each is None else each.flip(0) for each in whole))
    assert float(model.losses(turned)["loss"]) == pytest.approx(expected, abs=1e-5)


def trained(monkeypatch, steps: int = 250) -> tuple[TextVAE, Batch]:
    """On texts of one word six times over, of which its decoder reads nothing: only the code says which word it is."""
    torch.manual_seed(0)
    model = TextVAE(BagOfTokens(VOCABULARY, 16), 4, 24, word_dropout=1.0, kl_warmup=0.5, max_new_tokens=8)
    word = torch.arange(5, 12).repeat(8)[:, None].repeat(1, 6)
    ids = torch.cat([torch.full((56, 1), BEGIN), word, torch.full((56, 1), END)], dim=1)
    given = Batch(ids, None, None, torch.arange(56))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for step in range(steps):
        monkeypatch.setattr(TextVAE, "progress", step / steps)
        optimizer.zero_grad()
        model.losses(given._replace(index=given.index + 56 * step))["loss"].backward()  # with other noise every time
        optimizer.step()
    return model, given._replace(index=given.index + 56 * steps)


def test_what_the_decoder_cannot_read_the_code_says_and_texts_are_written_from_it(monkeypatch):
    model, given = trained(monkeypatch)
    with torch.no_grad():
        terms = model.losses(given)
    assert float(terms["kl"]) > 1.2  # log 7, 1.95, say which word it is
    assert float(terms["reconstruction"]) > -0.3 * 6 * math.log(7)  # without a code each of six words is guessed
    model.eval()
    shown = given._replace(inputs=given.inputs[:4], index=given.index[:4])
    texts = model.texts(shown)
    rows, own = texts.ids.unflatten(0, (2, STEPS + 2)), texts.own.unflatten(0, (2, STEPS + 2))
    assert not own[:, [0, -1]].any() and own[:, 1:-1].all()
    for pair in range(2):
        assert torch.equal(rows[pair, 0, :8], given.inputs[pair])
        assert torch.equal(rows[pair, -1, :8], given.inputs[2 + pair])
        for written in rows[pair, 1:-1].tolist():
            words = written[: written.index(END)] if END in written else written
            assert all(word >= 5 for word in words)
            assert all(token == PAD for token in written[len(words) + 1 :])


def test_what_cannot_work_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^TextVAE writes texts, which MLP does not read: [^.]*\.$"):
        TextVAE(MLP(hidden=[8]))
    with pytest.raises(InputError, match=r"^TextVAE writes a text from a token that begins it: [^.]*\.$"):
        TextVAE(BertEncoder({**VOCABULARY, "begin": None}, dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match="word_dropout"):
        make(word_dropout=1.5)
    with pytest.raises(InputError, match="latent_dim"):
        make(latent_dim=0)
    with pytest.raises(InputError, match=r"TextVAE makes a code of one text, .*: set data\.packing to false\."):
        make().losses(batch()._replace(mask=batch().mask.long()))
    assert make().texts(Batch(*(None if each is None else each[:1] for each in batch()))) is None
