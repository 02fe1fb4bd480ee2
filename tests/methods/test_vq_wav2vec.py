"""vq-wav2vec against wav2vec's loops on codes, and what must hold of codes."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.errors import InputError
from ssl_zoo.methods.vq_wav2vec import NOISE, VQWav2Vec
from ssl_zoo.parts.codebooks import Coding
from ssl_zoo.parts.coded_frames import CodedFrames
from ssl_zoo.randomness import fold_in
from tests.methods.test_wav2vec import ROWS, M, by_loop, full, glides, noise, padded, train

KINDS = ["gumbel", "k_means"]


def make(quantizer: Any, **settings) -> VQWav2Vec:
    """As the model of wav2vec's tests, on codes."""
    torch.manual_seed(0)
    front_end = WaveConvolutions(12, [10, 4], [5, 2], normalize=False)
    coded = CodedFrames(front_end, quantizer, groups=2, entries=7, code_dim=12)
    with torch.no_grad():
        coded.quantizer.codebooks.normal_()
    return VQWav2Vec(GRUEncoder(coded, dim=16), **{"steps": 4, "negatives": M, **settings})


@pytest.mark.parametrize("loss", ["binary", "infonce"])
@pytest.mark.parametrize("quantizer", KINDS)
@pytest.mark.parametrize("make_batch", [full, padded])
def test_its_contrast_is_wav2vecs_on_codes_by_loops_in_which_no_positive_is_a_negative(quantizer, loss, make_batch):
    """In fairseq's wav2vec positives are drawn among the negatives; the loops refuse such candidates."""
    model, batch = make(quantizer, loss=loss, diversity_weight=0.3).eval(), make_batch()
    with torch.no_grad():
        expected, accuracy = by_loop(model, batch, loss == "binary")
        terms = model.losses(batch)
    torch.testing.assert_close(terms["contrastive"], expected, atol=1e-5, rtol=1e-5)
    assert terms["accuracy"].item() == pytest.approx(accuracy, abs=1e-6)
    # What stands beside it, one real frame at a time.
    lengths = [batch.inputs.shape[1]] * ROWS if batch.mask is None else batch.mask.sum(1).tolist()
    with torch.no_grad():
        alone = [
            model.coded.quantize(batch.inputs[row : row + 1, :length])[0]
            for row, length in enumerate(lengths)
            if length >= 25
        ]
    codes = torch.cat([each.codes[0] for each in alone])
    perplexity = 0.0
    for group in range(2):
        shares = torch.bincount(codes[:, group], minlength=7) / len(codes)
        perplexity += float(torch.exp(-sum(share * torch.log(share) for share in shares if share > 0)))
    assert terms["code_perplexity"].item() == pytest.approx(perplexity, rel=1e-4)
    if quantizer == "k_means":
        penalty = torch.cat([each.penalty[0] for each in alone]).mean()
        torch.testing.assert_close(terms["loss"], expected + penalty, atol=1e-5, rtol=1e-5)
    else:
        mean = torch.cat([each.probabilities[0] for each in alone]).mean(0)
        diversity = (14 - torch.exp(-(mean * mean.log()).sum(1)).sum()) / 14
        torch.testing.assert_close(terms["loss"], expected + 0.3 * diversity, atol=1e-5, rtol=1e-5)


def test_in_training_codes_are_drawn_with_this_steps_noise_and_gradients_reach_everything():
    model, batch = make("gumbel"), padded()
    expected = model.coded.quantizer(
        model.coded.front_end(batch.inputs, batch.mask)[0], fold_in(model.keys(batch), NOISE), 0.5
    )
    mask = model.coded.frame_mask(batch.mask, batch.inputs.shape[1])
    drawn = model.contrast(expected.vectors, mask, model.keys(batch))["loss"]
    found = model.losses(batch)
    torch.testing.assert_close(found["contrastive"], drawn.detach(), atol=1e-6, rtol=1e-6)
    likeliest = model.eval().losses(batch)["contrastive"]
    assert abs(found["contrastive"].item() - likeliest.item()) > 1e-3
    for kind in KINDS:
        model = make(kind)
        model.losses(batch)["loss"].backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
@pytest.mark.parametrize("quantizer", KINDS)
def test_neither_the_order_of_a_batch_nor_padding_changes_anything(quantizer):
    batch = padded()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order])
    more = torch.randn(ROWS, 333, generator=torch.Generator().manual_seed(1))
    mask = F.pad(batch.mask, (0, 333), value=False)
    longer = batch._replace(inputs=torch.cat([batch.inputs, more], dim=1), mask=mask)
    ours, *others = (make(quantizer, diversity_weight=0.1).losses(each) for each in (batch, shuffled, longer))
    for other in others:
        for name, value in other.items():
            torch.testing.assert_close(value, ours[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("quantizer", KINDS)
def test_codes_to_look_at_are_those_of_evaluation_and_leave_the_codebooks_as_they_are(quantizer):
    model, batch = make(quantizer), padded()
    assert isinstance(model, Coding)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = model.train().codes(batch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(found, model.eval().codes(batch)) and found.shape[2] == 2
    for row, length in enumerate(batch.mask.sum(1).tolist()):
        if length >= 25:
            alone = model.codes(Batch(batch.inputs[row : row + 1, :length], None, None, batch.index[row : row + 1]))
            assert torch.equal(found[row, : alone.shape[1]], alone[0])


@torch.no_grad()
@pytest.mark.parametrize("quantizer", KINDS)
def test_the_encoder_sees_codes_and_nothing_else(quantizer):
    model, waves = make(quantizer).eval(), full().inputs
    codes, _ = model.coded.quantize(waves)
    nearly, _ = model.coded.quantize(waves * 1.00001)
    assert torch.equal(codes.codes, nearly.codes)
    assert not torch.equal(model.coded.front_end(waves)[0], model.coded.front_end(waves * 1.00001)[0])
    assert torch.equal(model.encoder(waves).sequence, model.encoder(waves * 1.00001).sequence)


@pytest.mark.parametrize("quantizer", KINDS)
def test_it_predicts_the_codes_of_what_follows_and_of_noise_hardly_anything(quantizer):
    found = {}
    for sounds in (glides, noise):
        torch.manual_seed(0)
        coded = CodedFrames(LogMel(16, 32, [1], sample_rate=2000), quantizer, 2, 16, 32)
        model = VQWav2Vec(GRUEncoder(coded, dim=32, sample_rate=2000), 3, loss="infonce", diversity_weight=0.3)
        found[sounds] = train(model, sounds, 60)
        assert found[sounds]["code_perplexity"] > 6  # of 2 to 32: they differ
    chance = model.chance_loss(16)
    assert found[glides]["contrastive"] < 0.85 * chance < 0.93 * chance < found[noise]["contrastive"]


def test_its_alarms_are_about_the_contrast_and_codes_that_are_all_alike():
    chance, codes = (
        next(alarm for alarm in make("gumbel").alarms(8) if alarm.metric == f"train/{name}")
        for name in ("contrastive", "code_perplexity")
    )
    assert codes.sounds({codes.metric: 2.0}) and not codes.sounds({codes.metric: 5.0})
    assert chance.sounds({chance.metric: make("gumbel").chance_loss(8)})


def test_an_encoder_without_codes_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^VQWav2Vec learns codes .* LogMel, has none: take CodedFrames[^.]*\.$"):
        VQWav2Vec(GRUEncoder(LogMel(dim=16), dim=16))
    with pytest.raises(InputError, match="diversity_weight is -1"):
        make("gumbel", diversity_weight=-1.0)
