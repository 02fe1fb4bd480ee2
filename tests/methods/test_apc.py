"""APC against plain loops over every recording alone, and a toy that only a whole one can predict."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import CausalConvEncoder, GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.errors import InputError
from ssl_zoo.methods.apc import APC
from tests.made import padded_noise

RATE, MELS, STACK = 2000, 8, 2
WINDOW, HOP = 50, 20  # of a frame of the spectrogram, in samples
SEEN, STRIDE = WINDOW + HOP, STACK * HOP  # of a place, which is two of them
SAMPLES, ROWS, STEPS = 1200, 4, 3


def make(encoder: type = GRUEncoder, kind: type[APC] = APC, steps: int = STEPS, normalize: bool = True) -> APC:
    torch.manual_seed(0)
    front_end = LogMel(MELS, strides=[], stack=STACK, sample_rate=RATE, normalize=normalize)
    return kind(encoder(front_end, dim=16, sample_rate=RATE), steps)


def padded(lengths: tuple[int, ...] = (1200, 400, 871, 1200)) -> Batch:
    return padded_noise(lengths, SAMPLES)


def full() -> Batch:
    return padded((SAMPLES,) * ROWS)._replace(mask=None)


def by_loop(model: APC, batch: Batch) -> tuple[Tensor, float]:
    """Loss and the part explained, one recording without padding, one place and one band at a time."""
    pairs: list[list[tuple[Tensor, float]]] = [[] for _ in range(STACK * MELS)]
    for row in range(ROWS):
        length = SAMPLES if batch.mask is None else int(batch.mask[row].sum())
        wave = batch.inputs[row : row + 1, :length]
        spectrum = log_mel(wave, None, RATE, MELS)[0][0]
        places = (length - SEEN) // STRIDE + 1
        context = model.encoder(wave).sequence[0]
        assert len(context) == places
        for place in range(places - model.steps):
            predicted = model.head.weight @ context[place] + model.head.bias
            first = STACK * (place + model.steps)
            for part in range(STACK):
                for band in range(MELS):
                    entry = part * MELS + band
                    pairs[entry].append((predicted[entry], float(spectrum[first + part, band])))
    errors = torch.stack([(guess - true).abs() for entry in pairs for guess, true in entry])
    means = [sum(true for _, true in entry) / len(entry) for entry in pairs]
    deviations = [abs(true - mean) for entry, mean in zip(pairs, means, strict=True) for _, true in entry]
    error = errors.mean()
    return error, 1 - float(error.detach()) / (sum(deviations) / len(deviations))


@pytest.mark.parametrize("make_batch", [full, padded])
def test_loss_gradients_and_what_is_explained_are_those_of_loops_over_every_recording_alone(make_batch):
    model, batch = make(), make_batch()
    expected, explained = by_loop(model, batch)
    expected.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert float(terms["explained"]) == pytest.approx(explained, abs=1e-4)
    terms["loss"].backward()
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-3)


@torch.no_grad()
def test_neither_the_order_of_a_batch_nor_padding_changes_anything():
    """s3prl's APC counts predictions of padding."""
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
    model, batch = make(), padded((1200, SEEN + 2 * STRIDE, 871, 3))  # the second has three places, the last one
    rows = torch.tensor([0, 2])
    alone = model.losses(Batch(batch.inputs[rows], batch.mask[rows], None, batch.index[rows]))
    for name, value in model.losses(batch).items():
        torch.testing.assert_close(value, alone[name], atol=1e-5, rtol=1e-4)
    assert float(model.losses(padded((SEEN + 2 * STRIDE, 100, 90, 3)))["loss"]) == 0


@pytest.mark.parametrize("encoder", [GRUEncoder, CausalConvEncoder])
def test_a_prediction_depends_on_no_sample_of_what_it_predicts_and_on_those_before(encoder):
    # On convolutions over samples, through which gradients go.
    torch.manual_seed(0)
    front_end = WaveConvolutions(12, [10, 4], [10, 4], normalize=False)  # 40 samples every 40
    model = APC(encoder(front_end, dim=16), steps=1)
    batch = full()
    waves = batch.inputs.clone().requires_grad_()
    predicted, _, _ = model.look_ahead(batch._replace(inputs=waves))
    place = 9
    predicted[:, place].sum().backward()
    begins = 40 * (place + model.steps)  # of what is predicted from this place
    assert not waves.grad[:, begins:].any()
    assert (waves.grad[:, begins - 40 : begins] != 0).float().mean() > 0.9


@torch.no_grad()
def test_what_has_been_seen_says_nothing_exact_of_what_is_predicted():
    """The window of every target begins where the last one seen has ended."""
    model, batch = make(steps=2), full()
    place = 5
    ends = place * STRIDE + SEEN
    changed = batch.inputs.clone()
    changed[:, :ends] = changed[:, :ends].roll(7, 1)  # loudness, by which recordings are normalised, stays
    (_, before, _), (_, after, _) = (model.look_ahead(batch._replace(inputs=each)) for each in (batch.inputs, changed))
    torch.testing.assert_close(after[:, place:], before[:, place:], atol=1e-4, rtol=1e-4)
    assert (after[:, place - 2] - before[:, place - 2]).abs().max() > 0.01
    for steps in (0, 1):
        with pytest.raises(InputError, match=f"frame {steps} ahead overlaps .* set steps to at least 2"):
            make(steps=steps)


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    model, batch = make(CausalConvEncoder).eval(), padded()
    exact = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(batch)
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], exact["loss"], atol=0.02, rtol=0)


class OfAnother(APC):
    """A slip in the indices: what is predicted is another recording's."""

    def look_ahead(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        predicted, targets, real = super().look_ahead(batch)
        return predicted, targets.roll(1, 0), real


def glides(count: int, seed: int) -> Batch:
    """Tones that rise or fall evenly: what comes follows from what was, and not from the last frame alone."""
    generator = torch.Generator().manual_seed(seed)
    first, last = 0.02 + 0.4 * torch.rand(2, count, 1, generator=generator)
    pitch = first + (last - first) * torch.arange(SAMPLES) / SAMPLES
    phases = torch.rand(count, 1, generator=generator) + pitch.cumsum(1)
    return Batch(torch.sin(2 * math.pi * phases), None, None, torch.arange(count) + 1000 * seed)


def explained(kind: type[APC], steps: int = 25) -> float:
    model = make(kind=kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(glides(16, step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return float(model.losses(glides(32, 10**6))["explained"])


def test_it_predicts_what_follows_and_of_other_recordings_nothing():
    assert explained(APC) > 0.4
    assert explained(OfAnother) < 0.1


def test_its_alarm_sounds_where_nothing_is_explained_and_not_otherwise():
    model = make()
    (alarm,) = [each for each in model.alarms(8) if each.metric == "train/explained"]
    assert alarm.sounds({"train/explained": 0.0}) and not alarm.sounds({"train/explained": 0.3})
    assert "train/explained is 0.001" in alarm.sentence.format_map({"train/explained": 0.0012})


def test_what_cannot_work_is_refused():
    for encoder in (Wav2Vec2Encoder(LogMel(), 16, 1, 1, position_kernel=8), MLP(hidden=[8])):
        with pytest.raises(InputError, match=f"causal encoder of frames.*{type(encoder).__name__} is not"):
            APC(encoder)
    with pytest.raises(InputError, match=r"3 ahead, and the longest.*2 frames: raise data\.min_seconds"):
        make().losses(Batch(torch.randn(2, SEEN + STRIDE), None, None, torch.arange(2)))
