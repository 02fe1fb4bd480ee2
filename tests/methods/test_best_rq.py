"""BEST-RQ against plain loops on images and on speech, and a toy that it can learn."""

import math

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.best_rq import BestRQ
from tests.methods.coded import ENCODERS, batch_for, fit_to, gradient_at_places, one, small_encoder, train_on_glides

each = pytest.mark.parametrize("name", ENCODERS)


def make(name: str) -> BestRQ:
    torch.manual_seed(0)
    model = BestRQ(ENCODERS[name](), entries=20, code_dim=4)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(3)
    fit_to(model, batch_for(name))
    return model.eval()


def hidden_in(model: BestRQ, batch):
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    real = torch.ones(embedded.vectors.shape[:2], dtype=torch.bool) if embedded.mask is None else embedded.mask
    return model.masking(real, model.keys(batch), model.encoder.grid(batch.inputs))


@each
@torch.no_grad()
def test_the_loss_by_plain_loops_over_examples_alone(name):
    model, batch = make(name), batch_for(name)
    hidden, nats, hits, contents = hidden_in(model, batch), [], [], []
    for row in range(4):
        contents.append(model.encoder.contents(one(batch, row).inputs)[0])
    everything = torch.cat(contents)
    mean, deviation = everything.mean(0), everything.std(0, correction=0)
    for row in range(4):
        embedded = model.encoder.embed(one(batch, row).inputs)
        vectors = embedded.vectors.clone()
        vectors[0, hidden.mask[row, : vectors.shape[1]]] = model.mask_vector
        sequence = model.encoder.contextualize(embedded._replace(vectors=vectors)).sequence[0]
        for place, content in enumerate(contents[row]):
            if hidden.mask[row, place]:
                projected = ((content - mean) / deviation) @ model.quantizer.projection
                projected = projected / projected.norm()
                distances = [float((projected - entry / entry.norm()).norm()) for entry in model.quantizer.codebook]
                code = distances.index(min(distances))
                logits = F.linear(sequence[place], model.head.weight, model.head.bias)
                nats.append(float(-logits.log_softmax(0)[code]))
                hits.append(int(logits.argmax()) == code)
    found = model.losses(batch)
    assert len(nats) > 20 and float(found["loss"]) == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(sum(hits) / len(hits), abs=1e-6)


@each
def test_what_is_hidden_does_not_reach_the_prediction(name):
    model, batch = make(name), batch_for(name)
    hidden = hidden_in(model, batch)
    reached, real = gradient_at_places(model, batch)
    assert not reached[hidden.mask | ~real].any() and (reached[~hidden.mask & real] > 0).all()


@each
@torch.no_grad()
def test_neither_padding_nor_the_order_of_a_batch_changes_anything(name):
    model, batch = make(name), batch_for(name)
    codes, order = model.codes(batch), torch.tensor([2, 0, 3, 1])
    moved = batch._replace(
        inputs=batch.inputs[order], mask=None if batch.mask is None else batch.mask[order], index=batch.index[order]
    )
    for term, value in model.losses(moved).items():
        torch.testing.assert_close(value, model.losses(batch)[term], atol=1e-5, rtol=1e-4)
    for row in range(4):
        alone = model.codes(one(batch, row))[0]
        assert torch.equal(alone, codes[row, : len(alone)])


@torch.no_grad()
def test_an_encoder_that_ignores_its_input_has_the_chance_loss():
    model = make("frames")
    model.head.weight.zero_()
    model.head.bias.zero_()
    assert float(model.losses(batch_for("frames"))["loss"]) == pytest.approx(model.chance_loss(4))
    assert model.chance_loss(4) == pytest.approx(math.log(20))


def test_it_predicts_hidden_codes_from_what_is_around_them_and_with_nothing_around_it_cannot():
    found = {}
    for name, masking in {"spans": RandomSpans(0.65, 5), "all": RandomSpans(1.0, 1)}.items():
        torch.manual_seed(0)
        found[name] = train_on_glides(BestRQ(small_encoder(), masking, 64), 100)
    assert found["spans"]["loss"] < 0.85 * found["all"]["loss"]
    assert found["spans"]["accuracy"] > 2 * found["all"]["accuracy"]


def test_what_cannot_work_is_refused():
    for encoder, message in ((GRUEncoder(LogMel()), "both sides"), (MLP(hidden=[8]), "no such step")):
        with pytest.raises(InputError, match=f"BestRQ.*{message}"):
            BestRQ(encoder)
