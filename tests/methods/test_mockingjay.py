"""Mockingjay and TERA against plain loops over every recording alone, their draws, and a toy that they can fill in."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.errors import InputError
from ssl_zoo.methods.mockingjay import BAND, FATE, MASKING, NOISE, SHIFT, WHETHER, Mockingjay
from ssl_zoo.randomness import example_keys, fold_in, normal, uniform
from tests.made import padded_noise

RATE, MELS, STACK = 2000, 10, 2
SEEN, STRIDE = 70, 40  # samples of a place, which is two frames of 50 every 20
SAMPLES, ROWS = 1600, 4
TERA = {"frequency_band": 0.4, "noise": 0.5}


def make(kind: type[Mockingjay] = Mockingjay, **settings) -> Mockingjay:
    torch.manual_seed(0)
    front_end = LogMel(MELS, strides=[], stack=STACK, sample_rate=RATE)
    encoder = Wav2Vec2Encoder(
        front_end, 32, 2, 2, position_kernel=8, dropout=0.0, attention_dropout=0.0, sample_rate=RATE
    )
    return kind(encoder, **{"masking": RandomSpans(0.3, 3, least=1), **settings})


def padded(first: int = 0, lengths: tuple[int, ...] = (1600, 700, 1171, 1600)) -> Batch:
    batch = padded_noise(lengths, SAMPLES)
    return batch._replace(index=batch.index + first)


def full(first: int = 0) -> Batch:
    return padded(first, (SAMPLES,) * ROWS)._replace(mask=None)


def altered_by_hand(frames: Tensor, model: Mockingjay, key: Tensor, hidden: list[int]) -> Tensor:
    """One recording's frames ``(N, STACK * MELS)`` altered, one number at a time, and 1 where one is to be predicted.

    Args:
        frames: of the recording alone.
        model: says how large the band and the part with noise are.
        key: ``(1,)``, the recording's.
        hidden: places in spans.
    """
    places = len(frames)
    fate, shift = (float(uniform(fold_in(key, name), 1)) for name in (FATE, SHIFT))
    wide, start = uniform(fold_in(key, BAND), 2)[0].tolist()
    width = int(wide * (int(model.frequency_band * MELS) + 1))
    begin = int(start * (MELS - width + 1))
    loud = float(uniform(fold_in(key, WHETHER), 1)) < model.noise
    noise = normal(fold_in(fold_in(key, NOISE), torch.arange(places)), STACK * MELS)
    made = torch.zeros(2, places, STACK * MELS)
    for place in range(places):
        for part in range(STACK):
            for band in range(MELS):
                entry = part * MELS + band
                value = float(frames[place, entry])
                in_span, in_band = place in hidden, begin <= band < begin + width
                if in_span and fate < 0.8:
                    value = 0.0
                elif in_span and fate < 0.9:
                    value = float(frames[(place + 1 + int(shift * (places - 1))) % places, entry])
                if in_band:
                    value = 0.0
                made[0, place, entry] = value + (0.2 * float(noise[place, entry]) if loud else 0.0)
                made[1, place, entry] = in_span or in_band
    return made


@pytest.mark.parametrize("settings", [{}, TERA], ids=["mockingjay", "tera"])
@pytest.mark.parametrize("make_batch", [full, padded])
@pytest.mark.parametrize("first", [0, 8])
def test_loss_and_gradients_are_those_of_loops_over_every_recording_alone(settings, make_batch, first):
    model, batch = make(**settings).eval(), make_batch(first)
    keys, most = model.keys(batch), (SAMPLES - SEEN) // STRIDE + 1
    lengths = [SAMPLES] * ROWS if batch.mask is None else batch.mask.sum(1).tolist()
    places = [(length - SEEN) // STRIDE + 1 for length in lengths]
    real = torch.arange(most) < torch.tensor(places)[:, None]
    spans = model.masking(real, fold_in(keys, MASKING))
    errors = []
    for row, length in enumerate(lengths):
        spectrum = log_mel(batch.inputs[row : row + 1, :length], None, RATE, MELS)[0][0]
        frames = spectrum[: STACK * places[row]].view(places[row], -1)
        hidden = spans.mask[row].nonzero()[:, 0].tolist()
        assert hidden
        altered, counted = altered_by_hand(frames, model, keys[row : row + 1], hidden)
        encoder = model.encoder
        embedded = encoder.embed_frames(encoder.feature_norm(altered[None]), None)
        predicted = model.head(encoder.contextualize(embedded).sequence)[0]
        errors.append((predicted - frames).abs()[counted > 0])
    expected = torch.cat(errors).mean()
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    found = model.losses(batch)["loss"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-6, rtol=1e-3)


def test_one_draw_decides_for_a_whole_recording_as_often_as_the_paper_says():
    model, count, places = make(**TERA), 4000, 40
    keys = example_keys(3, 1, torch.arange(count))
    # All numbers differ, and none is 0.
    frames = 1 + torch.arange(places * STACK * MELS).view(1, places, -1).expand(count, -1, -1).float()
    real = torch.ones(count, places, dtype=torch.bool)
    spans = model.masking(real, fold_in(keys, MASKING))
    model.noise = 0.0
    altered, counted = model.alter(frames, real, spans, keys)
    in_span = spans.mask[..., None] & torch.ones(STACK * MELS, dtype=torch.bool)
    in_band = counted & ~in_span
    band = in_band.any(1)  # of every recording: no span covers it from end to end
    assert torch.equal(counted, in_span | band[:, None])
    left = in_span & ~band[:, None]
    zero, same = ((altered == each) & left for each in (torch.zeros(1), frames))
    every = left.sum((1, 2))
    fates = torch.stack([zero.sum((1, 2)) == every, same.sum((1, 2)) == every])
    others = ~fates.any(0)
    assert ((fates.sum(0) + others) == 1).all()
    shares = torch.tensor([*fates.float().mean(1), others.float().mean()])
    expected = torch.tensor([0.8, 0.1, 0.1])
    assert ((shares - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt()).all()
    # Frames from elsewhere are whole frames of the same recording, never the one in question.
    row = int(others.nonzero()[0])
    for place in spans.mask[row].nonzero()[:, 0].tolist():
        seen, kept = altered[row, place], ~band[row]
        sources = [each for each in range(places) if torch.equal(frames[row, each][kept], seen[kept])]
        assert len(sources) == 1 and sources != [place]
    # Bands are 0 to 4 of 10 frequencies wide, the same ones in both halves of a place, and lie anywhere.
    assert torch.equal(band[:, :MELS], band[:, MELS:])
    widths = torch.bincount(band[:, :MELS].sum(1), minlength=5) / count
    assert len(widths) == 5 and ((widths - 0.2).abs() < 4 * (0.2 * 0.8 / count) ** 0.5).all()
    first = band[:, :MELS].long().argmax(1)[band[:, :MELS].sum(1) == 2]
    assert torch.bincount(first).tolist()[:9] and (torch.bincount(first) / len(first) - 1 / 9).abs().max() < 0.05
    assert not altered[band[:, None].expand_as(altered)].any()
    # Nothing else has changed.
    assert torch.equal(altered[~counted], frames[~counted])


def test_noise_is_added_to_the_part_of_the_recordings_that_is_asked_for_and_adds_nothing_to_predict():
    model, count = make(noise=0.15), 2000
    keys, frames = example_keys(3, 1, torch.arange(count)), torch.ones(count, 40, STACK * MELS)
    real = torch.ones(count, 40, dtype=torch.bool)
    spans = model.masking(real, fold_in(keys, MASKING))
    altered, counted = model.alter(frames, real, spans, keys)
    assert torch.equal(counted, spans.mask[..., None].expand_as(counted))
    added = (altered - 1)[~spans.mask].view(-1, STACK * MELS)
    noisy = torch.stack([((each - 1)[~mask] != 0).any() for each, mask in zip(altered, spans.mask, strict=True)])
    assert float(noisy.float().mean()) == pytest.approx(0.15, abs=4 * (0.15 * 0.85 / count) ** 0.5)
    some = added[added != 0]
    assert float(some.std()) == pytest.approx(0.2, rel=0.02) and abs(float(some.mean())) < 0.002


@pytest.mark.parametrize("settings", [{}, TERA], ids=["mockingjay", "tera"])
def test_nothing_that_is_set_to_zero_reaches_a_prediction_and_all_else_does(settings):
    model = make(**settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(3)
    batch = full()
    frames = model.encoder.front_end(batch.inputs)[0].requires_grad_()
    model.encoder.front_end.forward = lambda inputs, mask: (frames, None)
    _, _, counted, predicted = model.fill_in(batch)
    zero = uniform(fold_in(model.keys(batch), FATE), 1)[:, 0] < 0.8
    assert zero.sum() >= 2
    (predicted.square() * counted)[zero].sum().backward()
    reached = frames.grad.abs()[zero]
    assert not reached[counted[zero]].any() and (reached[~counted[zero]] > 0).all()
    assert not frames.grad[~zero].any()  # nor another recording


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, TERA], ids=["mockingjay", "tera"])
def test_neither_the_order_of_a_batch_nor_padding_changes_anything(settings):
    model, batch = make(**settings).eval(), padded()
    ours = model.losses(batch)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order])
    noise = torch.randn(ROWS, 333, generator=torch.Generator().manual_seed(1))
    mask = F.pad(batch.mask, (0, 333), value=False)
    longer = batch._replace(inputs=torch.cat([batch.inputs, noise], dim=1), mask=mask)
    for other in (shuffled, longer):
        for name, value in model.losses(other).items():
            torch.testing.assert_close(value, ours[name], atol=1e-5, rtol=1e-4)


class OfAnother(Mockingjay):
    """A slip in the indices: what is predicted is another recording's."""

    def fill_in(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        frames, spans, counted, predicted = super().fill_in(batch)
        return frames.roll(1, 0), spans, counted, predicted


def glides(count: int, seed: int) -> Batch:
    """Tones that rise or fall evenly: what is hidden follows from both sides."""
    generator = torch.Generator().manual_seed(seed)
    first, last = 0.02 + 0.4 * torch.rand(2, count, 1, generator=generator)
    pitch = first + (last - first) * torch.arange(SAMPLES) / SAMPLES
    phases = torch.rand(count, 1, generator=generator) + pitch.cumsum(1)
    return Batch(torch.sin(2 * math.pi * phases), None, None, torch.arange(count) + 1000 * seed)


def explained(kind: type[Mockingjay]) -> float:
    model = make(kind, frequency_band=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for step in range(60):
        optimizer.zero_grad()
        model.losses(glides(16, step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return float(model.losses(glides(64, 10**6))["explained"])


def test_it_fills_in_what_follows_from_both_sides_and_of_other_recordings_nothing():
    assert explained(Mockingjay) > 0.4
    assert explained(OfAnother) < 0.1


@torch.no_grad()
def test_pictures_show_spectrograms_what_is_visible_and_what_is_filled_in():
    model, batch = make().eval(), full()
    ((name, (found, row, names)),) = model.pictures(batch).items()
    assert (name, row, names) == ("reconstructions", ROWS, ["inputs", "hidden", "filled in"])
    frames, is_hidden, _, _ = model.fill_in(batch)
    true, shown, filled = found.chunk(3)
    assert true.shape == (ROWS, 1, MELS, STACK * frames.shape[1])
    columns = is_hidden.repeat_interleave(STACK, 1)[:, None, None].expand_as(true)
    assert (shown[columns] == 0.5).all() and torch.equal(shown[~columns], true[~columns])
    assert torch.equal(filled[~columns], true[~columns]) and not torch.equal(filled, true)


def test_its_alarm_is_about_what_is_explained():
    assert "train/explained" in {alarm.metric for alarm in make().alarms(8)}


def test_what_cannot_be_altered_is_refused_in_a_sentence():
    for encoder in (GRUEncoder(LogMel(strides=[]), dim=16), MLP(hidden=[8]), AudioViT(**AudioViT.tiny())):
        with pytest.raises(InputError, match=f"bidirectional encoder of frames .* {type(encoder).__name__} is not"):
            Mockingjay(encoder)
    for front_end in (WaveConvolutions(16), LogMel(dim=16)):
        with pytest.raises(InputError, match=f"front end, {type(front_end).__name__}, gives others: take LogMel with"):
            Mockingjay(Wav2Vec2Encoder(front_end, 16, 1, 1, position_kernel=8))
    for name in ("frequency_band", "noise"):
        with pytest.raises(InputError, match=f"{name} is 1.5"):
            make(**{name: 1.5})
