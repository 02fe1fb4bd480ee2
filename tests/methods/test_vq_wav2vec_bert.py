"""BERT on the codes of a run of vq-wav2vec: its loss against plain loops, and the way from one run to the other."""

import shutil

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.vq_wav2vec_bert import MASKING, VQWav2VecBERT
from ssl_zoo.parts.coded_frames import CodedFrames, FrozenCodes
from ssl_zoo.randomness import fold_in
from ssl_zoo.rebuilding import kinds_in
from ssl_zoo.runs.run import rebuild
from tests.contracts.experiments import FOLDER, checkpoint, fit
from tests.made import padded_noise

ROWS, SAMPLES, RATE, ENTRIES = 4, 3000, 2000, 7
SEEN, STRIDE = 50, 20


def codes(quantizer: str = "gumbel") -> FrozenCodes:
    torch.manual_seed(0)
    coded = CodedFrames(LogMel(12, strides=[], sample_rate=RATE), quantizer, 2, ENTRIES, 16)
    found = FrozenCodes({"source": "none", "architecture": kinds_in(coded.settings), "fingerprint": 0})
    with torch.no_grad():
        found.coded.quantizer.codebooks.normal_()
    return found


def make(quantizer: str = "gumbel") -> VQWav2VecBERT:
    encoder = Wav2Vec2Encoder(
        codes(quantizer), 32, 2, 2, position_kernel=8, dropout=0.0, attention_dropout=0.0, sample_rate=RATE
    )
    return VQWav2VecBERT(encoder, RandomSpans(0.4, 5))


def padded(lengths: tuple[int, ...] = (3000, 900, 2171, 3000)) -> Batch:
    return padded_noise(lengths, SAMPLES)


def full() -> Batch:
    return padded((SAMPLES,) * ROWS)._replace(mask=None)


@pytest.mark.parametrize("quantizer", ["gumbel", "k_means"])
@pytest.mark.parametrize("make_batch", [full, padded])
def test_loss_gradients_and_accuracy_are_those_of_loops_over_every_recording_alone(quantizer, make_batch):
    model, batch = make(quantizer), make_batch()
    with torch.no_grad():
        model.head[-1].weight.mul_(50)  # so that predictions differ
    lengths = [SAMPLES] * ROWS if batch.mask is None else batch.mask.sum(1).tolist()
    counts = torch.tensor([(length - SEEN) // STRIDE + 1 for length in lengths])
    real = torch.arange((SAMPLES - SEEN) // STRIDE + 1) < counts[:, None]
    hidden = model.masking(real, fold_in(model.keys(batch), MASKING)).mask
    losses, hits = [], []
    for row, length in enumerate(lengths):
        vectors, true, _ = model.coded.codes(batch.inputs[row : row + 1, :length])
        entries = model.coded.coded.quantizer.codebooks[torch.arange(2), true[0]].flatten(1)
        torch.testing.assert_close(vectors[0], entries)
        embedded = model.encoder.embed_frames(model.encoder.feature_norm(entries[None]), None)
        shown = embedded.vectors.clone()
        shown[0, hidden[row, : counts[row]]] = model.mask_vector
        sequence = model.encoder.contextualize(embedded._replace(vectors=shown)).sequence[0]
        for place in hidden[row].nonzero()[:, 0].tolist():
            logits = model.head(sequence[place])
            pair = [logits[:ENTRIES].log_softmax(0), logits[ENTRIES:].log_softmax(0)]
            losses.append(-sum(each[code] for each, code in zip(pair, true[0, place].tolist(), strict=True)))
            hits += [int(each.argmax()) == int(code) for each, code in zip(pair, true[0, place], strict=True)]
    expected = torch.stack(losses).mean()
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert terms["accuracy"].item() == pytest.approx(sum(hits) / len(hits), abs=1e-6)
    terms["loss"].backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained.keys() == gradients.keys() and not any("front_end" in name for name in trained)
    for name, parameter in trained.items():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-3)


def test_no_hidden_code_reaches_a_prediction_and_every_visible_one_does():
    model, batch = make().eval(), full()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(3)
    vectors, numbers, _ = model.coded.codes(batch.inputs)
    leaf = vectors.clone().requires_grad_()
    model.coded.codes = lambda inputs, mask: (leaf, numbers, None)
    _, _, hidden, logits = model.fill_in(batch)
    (logits.square().sum((2, 3)) * hidden.valid).sum().backward()
    reached = leaf.grad.abs().sum(2)
    assert not reached[hidden.mask].any() and (reached[~hidden.mask] > 0).all()


@torch.no_grad()
def test_neither_the_order_of_a_batch_nor_padding_changes_anything():
    model, batch = make(), padded()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order])
    more = torch.randn(ROWS, 333, generator=torch.Generator().manual_seed(1))
    mask = F.pad(batch.mask, (0, 333), value=False)
    longer = batch._replace(inputs=torch.cat([batch.inputs, more], dim=1), mask=mask)
    ours, *others = (model.losses(each) for each in (batch, shuffled, longer))
    for other in others:
        for name, value in other.items():
            torch.testing.assert_close(value, ours[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("quantizer", ["gumbel", "k_means"])
def test_codes_are_those_of_evaluation_whoever_trains(quantizer):
    frozen = codes(quantizer).train()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    first, second = (frozen.codes(full().inputs) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert torch.equal(first[1], frozen.eval().codes(full().inputs)[1])
    assert torch.equal(first[1], make(quantizer).train().codes(full()))
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())


def test_it_predicts_codes_from_their_neighbours():
    model = make()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3, fused=True)
    waves = torch.sin(torch.arange(SAMPLES) * torch.linspace(0.05, 1.5, 64)[:, None])  # a code each, all the time
    for step in range(40):
        rows = torch.randint(64, (8,), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model.losses(Batch(waves[rows], None, None, rows + 64 * step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval().losses(Batch(waves, None, None, torch.arange(64)))
        noise = model.losses(Batch(torch.randn(64, SAMPLES), None, None, torch.arange(64)))
    assert found["accuracy"] > 0.8 and found["loss"] < 0.4 * model.chance_loss(8)
    assert noise["accuracy"] < 0.6


def test_codes_of_a_run_come_by_the_command_line_and_outlive_it(tmp_path):
    source = fit(FOLDER / "audio" / "vq_wav2vec.yaml", tmp_path / "runs")
    option = f"--model.encoder.front_end.pretrained={source}"
    folder = fit(FOLDER / "audio" / "vq_wav2vec_bert.yaml", tmp_path / "others", option, "--model.masking.length=2")
    theirs, ours = checkpoint(source), checkpoint(folder)
    weights = {name: value for name, value in theirs["state_dict"].items() if name.startswith("encoder.front_end.")}
    assert weights
    for name, value in weights.items():  # after five steps of training
        assert torch.equal(ours["state_dict"][name.replace("front_end.", "front_end.coded.", 1)], value)
    shutil.rmtree(source)
    method = rebuild(ours)
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    again, _ = rebuild(theirs).eval().coded.quantize(waves)
    assert torch.equal(method.coded.codes(waves)[1], again.codes)
    assert method.coded.settings["init_args"]["pretrained"]["source"] == str(source)


def test_what_has_no_codes_of_a_run_is_refused_in_a_sentence(tmp_path):
    plain = Wav2Vec2Encoder(LogMel(dim=16), 16, 1, 1, position_kernel=8)
    for encoder in (plain, GRUEncoder(codes(), dim=16, sample_rate=RATE), MLP(hidden=[8])):
        with pytest.raises(InputError, match=r"hidden codes of a run .* take Wav2Vec2Encoder with FrozenCodes"):
            VQWav2VecBERT(encoder)
    with pytest.raises(InputError, match=r"^FrozenCodes: \S+nowhere is no run; train one with `ssl-zoo fit"):
        FrozenCodes(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"^FrozenCodes: the encoder of .* has no codes; set pretrained to a run"):
        FrozenCodes({"source": "x", "architecture": kinds_in(LogMel(dim=16).settings), "fingerprint": 0})
