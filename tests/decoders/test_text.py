import math

import pytest
import torch
from torch.distributions import Multinomial

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.image import MLPDecoder
from ssl_zoo.decoders.text import BagOfWordsDecoder
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.vae import VAE
from ssl_zoo.objectives import elbo
from tests.made import BEGIN, END, PAD, vocabulary

VOCABULARY = vocabulary(12)
TEXTS = [[BEGIN, 5, 6, 6, 11, END], [BEGIN, 7, END, PAD, PAD, PAD]]


def batch() -> Batch:
    inputs = torch.tensor(TEXTS)
    return Batch(inputs, inputs != PAD, None, torch.arange(2))


def vae(**settings) -> VAE:
    torch.manual_seed(0)
    encoder = BertEncoder(VOCABULARY, dim=16, depth=1, heads=2, max_length=8, dropout=0.0)
    return VAE(encoder, BagOfWordsDecoder(VOCABULARY, latent_dim=3), **settings)


def test_what_is_observed_is_how_often_each_word_stands_in_a_text_and_nothing_else():
    counts = BagOfWordsDecoder(VOCABULARY).observe(batch().inputs)
    assert counts[0].tolist() == [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1]
    assert counts[1].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_the_likelihood_is_that_of_torch_distributions_but_for_the_number_of_orders():
    logits = torch.randn(7, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([3.0, 0, 1, 0, 2, 0, 0])
    orders = math.lgamma(7) - math.lgamma(4) - math.lgamma(3)
    expected = float(Multinomial(6, logits=logits).log_prob(counts)) - orders
    assert float(elbo.multinomial_log_likelihood(counts[None], logits[None])) == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_the_bound_in_plain_loops_and_perplexity_is_per_token():
    model = vae().eval()
    model.decoder.logits.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    mean, log_variance = (part.detach() for part in model.posterior(batch()))
    from ssl_zoo.methods.vae import LATENT
    from ssl_zoo.randomness import fold_in, normal

    noise = normal(fold_in(model.keys(batch()), LATENT), 3)
    bounds = []
    for row, text in enumerate(TEXTS):
        latent = mean[row] + (0.5 * log_variance[row]).exp() * noise[row]
        scores = {token: float(model.decoder.logits(latent)[token].detach()) for token in range(5, 12)}
        total = math.log(sum(math.exp(score) for score in scores.values()))
        words = sum(scores[token] - total for token in text if token in scores)
        kl = sum(
            0.5 * (float(m) ** 2 + math.exp(v) - 1 - float(v))
            for m, v in zip(mean[row], log_variance[row].tolist(), strict=True)
        )
        bounds.append(words - kl)
    terms = {name: float(value.detach()) for name, value in model.losses(batch()).items()}
    assert terms["loss"] == pytest.approx(-sum(bounds) / 2, abs=1e-5)
    assert terms["perplexity"] == pytest.approx(math.exp((-bounds[0] / 4 - bounds[1]) / 2), rel=1e-5)
    assert "bits_per_dim" not in terms and "observation_std" not in terms


def test_padding_changes_nothing():
    model, whole = vae().eval(), batch()
    longer = whole._replace(
        inputs=torch.nn.functional.pad(whole.inputs, (0, 2), value=PAD),
        mask=torch.nn.functional.pad(whole.mask, (0, 2)),
    )
    assert float(model.losses(longer)["loss"].detach()) == pytest.approx(float(model.losses(whole)["loss"].detach()))


def test_it_learns_which_words_a_text_has():
    model = vae()
    ids = torch.randint(5, 12, (64, 1), generator=torch.Generator().manual_seed(0)).repeat(1, 6)
    ids = torch.cat([torch.full((64, 1), BEGIN), ids, torch.full((64, 1), END)], dim=1)
    given = Batch(ids, None, None, torch.arange(64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for _ in range(150):
        optimizer.zero_grad()
        model.losses(given)["loss"].backward()
        optimizer.step()
    terms = model.eval().losses(given)
    assert float(terms["reconstruction"]) > 0.3 * 6 * math.log(1 / 7)  # guessing among seven words
    assert float(terms["kl"]) > 1


def test_a_likelihood_must_be_the_decoders():
    assert vae().likelihood == "multinomial"
    with pytest.raises(InputError, match="what BagOfWordsDecoder gives is multinomial"):
        vae(likelihood="gaussian")
    with pytest.raises(InputError, match="gaussian or bernoulli"):
        VAE(vae().encoder, MLPDecoder(image_size=8, channels=1), likelihood="multinomial")
    with pytest.raises(InputError, match="multinomial has no observation_std"):
        vae(observation_std=0.1)
    assert vae().pictures(batch()) == {}
