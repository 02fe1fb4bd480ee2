import math

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import CausalConvEncoder, GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.cpc import CPC
from ssl_zoo.methods.wav2vec import NEGATIVES, Wav2Vec
from ssl_zoo.objectives.frame_negatives import draw_candidates
from ssl_zoo.randomness import fold_in
from tests.made import padded_noise

ROWS, SAMPLES = 4, 900
WINDOW, STRIDE = 25, 10  # of a frame, in samples
M = 6


def make(encoder: type = GRUEncoder, **settings) -> Wav2Vec:
    torch.manual_seed(0)
    front_end = WaveConvolutions(12, [10, 4], [5, 2], normalize=False)
    return Wav2Vec(encoder(front_end, dim=16), **{"steps": 4, "negatives": M, **settings})


def padded(lengths: tuple[int, ...] = (900, 300, 611, 900)) -> Batch:
    return padded_noise(lengths, SAMPLES)


def full() -> Batch:
    return padded((SAMPLES,) * ROWS)._replace(mask=None)


def by_loop(model: Wav2Vec, batch: Batch, binary: bool) -> tuple[torch.Tensor, float]:
    """Loss and accuracy, one recording without padding, one frame, one step and one candidate at a time."""
    losses, hits = [], []
    most = (SAMPLES - WINDOW) // STRIDE + 1 - model.offset
    for row in range(len(batch.inputs)):
        length = SAMPLES if batch.mask is None else int(batch.mask[row].sum())
        features, _ = model.encoder.front_end(batch.inputs[row : row + 1, :length])
        z = model.encoder.feature_norm(features)
        c = model.encoder.contextualize(model.encoder.embed_frames(z, None)).sequence[0]
        z, frames = z[0], z.shape[1]
        keys = fold_in(model.keys(batch), NEGATIVES)[row : row + 1]
        ahead = [frame + model.offset + step for frame in range(most) for step in range(model.steps)]
        candidates = draw_candidates(torch.tensor([ahead]), torch.tensor([frames]), M, keys)[0].tolist()
        for frame in range(most):
            for step in range(model.steps):
                positive, *negatives = candidates[frame * model.steps + step]
                if frame + model.offset + step >= frames:
                    continue
                assert positive == frame + model.offset + step and positive not in negatives
                weight = model.predictors.weight.view(model.steps, 12, 16)[step]
                predicted = weight @ c[frame] + model.predictors.bias.view(model.steps, 12)[step]
                score = z[positive] @ predicted / 12**0.5
                others = [z[negative] @ predicted / 12**0.5 for negative in negatives]
                if binary:
                    losses.append(-F.logsigmoid(score) - sum(F.logsigmoid(-other) for other in others))
                else:
                    losses.append(-score + torch.stack([score, *others]).logsumexp(0))
                hits.append(bool(score > max(others)))
    return torch.stack(losses).mean(), sum(hits) / len(hits)


@pytest.mark.parametrize("loss", ["binary", "infonce"])
@pytest.mark.parametrize("make_batch", [full, padded])
def test_loss_gradients_and_accuracy_are_those_of_loops_over_every_recording_alone(loss, make_batch):
    model, batch = make(loss=loss), make_batch()
    expected, accuracy = by_loop(model, batch, loss == "binary")
    expected.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(accuracy, abs=1e-6)
    terms["loss"].backward()
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-3)


def test_cpc_predicts_the_next_frame_first_with_the_papers_loss():
    torch.manual_seed(0)
    model = CPC(make().encoder, steps=4, negatives=M)
    assert model.offset == 1
    expected, accuracy = by_loop(model, padded(), binary=False)
    terms = model.losses(padded())
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(accuracy, abs=1e-6)


def test_the_first_frame_to_be_predicted_shares_no_sample_with_the_last_one_seen():
    model = make()
    assert model.offset == 3  # windows of 25 samples every 10: frame 3 begins at sample 30, frame 2 at 20
    assert make(offset=1).offset == 1
    exact = Wav2Vec(GRUEncoder(WaveConvolutions(8, [10, 2], [10, 2], normalize=False), dim=8))
    assert (exact.encoder.front_end.receptive_field, exact.encoder.stride, exact.offset) == (20, 20, 1)
    # What the last frame sees, the first one to be predicted does not depend on, and the one before it does.
    waves, last = full().inputs, 20
    changed = waves.clone()
    changed[:, : last * STRIDE + WINDOW] += 1.0
    with torch.no_grad():
        before, after = (model.encoder.front_end(each)[0] for each in (waves, changed))
    assert torch.equal(before[:, last + model.offset :], after[:, last + model.offset :])
    assert not torch.equal(before[:, last + model.offset - 1], after[:, last + model.offset - 1])


@torch.no_grad()
def test_neither_the_order_of_a_batch_nor_padding_changes_anything():
    model, batch = make(CausalConvEncoder), padded()
    ours = model.losses(batch)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order])
    noise = torch.randn(ROWS, 333, generator=torch.Generator().manual_seed(1))
    mask = F.pad(batch.mask, (0, 333), value=False)
    longer = batch._replace(inputs=torch.cat([batch.inputs, noise], dim=1), mask=mask)
    for other in (shuffled, longer):
        for name, value in model.losses(other).items():
            torch.testing.assert_close(value, ours[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_recordings_with_nothing_to_predict_count_for_nothing():
    model, batch = make(), padded((900, 45, 611, 3))  # of the second the third frame is the last
    rows = torch.tensor([0, 2])
    alone = model.losses(Batch(batch.inputs[rows], batch.mask[rows], None, batch.index[rows]))
    for name, value in model.losses(batch).items():
        torch.testing.assert_close(value, alone[name], atol=1e-5, rtol=1e-4)
    short = padded((45, 44, 25, 3))
    assert float(model.losses(short)["loss"]) == 0


@pytest.mark.parametrize("loss", ["binary", "infonce"])
def test_the_chance_loss_is_the_best_that_a_constant_gives(loss):
    model = make(loss=loss)
    constants = torch.linspace(-8, 8, 16001).view(1, -1, 1).expand(-1, -1, M + 1)
    with torch.no_grad():
        assert model.chance_loss(ROWS) == pytest.approx(float(model._nats(constants).min()), abs=1e-5)


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    model, batch = make(CausalConvEncoder).eval(), padded()
    exact = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(batch)
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], exact["loss"], atol=0.05, rtol=0)


def glides(count: int, seed: int) -> torch.Tensor:
    """Tones that rise or fall evenly: what comes follows from what was."""
    generator = torch.Generator().manual_seed(seed)
    first, last = 0.02 + 0.4 * torch.rand(2, count, 1, generator=generator)
    pitch = first + (last - first) * torch.arange(SAMPLES) / SAMPLES
    return torch.sin(2 * math.pi * (torch.rand(count, 1, generator=generator) + pitch.cumsum(1)))


def noise(count: int, seed: int) -> torch.Tensor:
    """What comes follows from nothing."""
    return torch.randn(count, SAMPLES, generator=torch.Generator().manual_seed(seed))


def train(model: Wav2Vec, sounds, steps: int = 120) -> dict[str, float]:
    """Trains on new recordings at every step; returns the terms on unseen ones."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, fused=True)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(Batch(sounds(16, step), None, None, torch.arange(16) + 16 * step))["loss"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        terms = model.losses(Batch(sounds(100, 10**6), None, None, torch.arange(100)))
    return {name: float(value) for name, value in terms.items()}


def spectra() -> GRUEncoder:
    """Frames of 50 samples every 20, at 2000 samples per second."""
    torch.manual_seed(0)
    return GRUEncoder(LogMel(mels=16, strides=[], sample_rate=2000), dim=32, sample_rate=2000)


@pytest.mark.parametrize(("loss", "part", "accuracy"), [("binary", 0.96, 0.2), ("infonce", 0.7, 0.4)])
def test_it_predicts_what_follows_and_of_noise_hardly_anything(loss, part, accuracy):
    model = Wav2Vec(spectra(), steps=3, loss=loss)
    found = train(model, glides)
    assert found["loss"] < part * model.chance_loss(16) and found["accuracy"] > accuracy
    # A little can be predicted: frames that were seen are among the negatives and cannot be the one to come.
    blind = train(Wav2Vec(spectra(), steps=3, loss=loss), noise)
    assert blind["loss"] > 0.97 * model.chance_loss(16) and blind["accuracy"] < 0.17


def test_what_cannot_work_is_refused():
    for encoder in (Wav2Vec2Encoder(LogMel(), 16, 1, 1, position_kernel=8), MLP(hidden=[8])):
        with pytest.raises(InputError, match=f"causal encoder of frames.*{type(encoder).__name__} is not"):
            Wav2Vec(encoder)
    for name in ("steps", "negatives", "offset"):
        with pytest.raises(InputError, match=name):
            make(**{name: 0})
    with pytest.raises(InputError, match=r"3 ahead, and the longest.*3 frames: raise data\.crop_seconds"):
        make().losses(Batch(torch.zeros(2, 45), None, None, torch.arange(2)))
