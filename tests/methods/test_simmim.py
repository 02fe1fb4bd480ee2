"""SimMIM against an independent computation in plain loops on images and on speech, and a toy that it can fill in."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.simmim import SimMIM
from tests.made import vocabulary

SIDE, PATCH, CHANNELS = 8, 2, 3
LENGTHS = [6000, 4400, 3000, 6000]


def image_encoder(channels: int = CHANNELS) -> Encoder:
    return ViT(SIDE, PATCH, dim=32, depth=2, heads=2, channels=channels, pooling="mean", positions="sincos")


def frames_encoder() -> Encoder:
    return Wav2Vec2Encoder(LogMel(40, strides=[], stack=2), dim=32, depth=2, heads=2, position_kernel=8)


ENCODERS = {"image": image_encoder, "frames": frames_encoder, "patches": lambda: AudioViT(**AudioViT.tiny())}


def make(name: str, masking: Masking | None = None, normalized: bool = False) -> tuple[SimMIM, Batch]:
    torch.manual_seed(0)
    model = SimMIM(ENCODERS[name](), masking, normalized).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(3)
    generator = torch.Generator().manual_seed(1)
    if name == "image":
        pixels = torch.randint(0, 256, (4, CHANNELS, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        return model, Batch(pixels, None, None, torch.arange(5, 9))
    mask = torch.arange(6000) < torch.tensor(LENGTHS)[:, None]
    return model, Batch(0.1 * torch.randn(4, 6000, generator=generator) * mask, mask, None, torch.arange(5, 9))


def shown_at(name: str, batch: Batch, row: int) -> list[Tensor]:
    """What is at every place of an example, from the raw input."""
    if name == "image":
        image = batch.inputs[row].float() / 255
        corners = [(top, left) for top in range(0, SIDE, PATCH) for left in range(0, SIDE, PATCH)]
        return [image[:, top : top + PATCH, left : left + PATCH].flatten() for top, left in corners]
    spectra = log_mel(batch.inputs[row : row + 1, : LENGTHS[row]], mels=40 if name == "frames" else 80)[0][0]
    pairs = spectra[: len(spectra) // 2 * 2].unflatten(0, (-1, 2))
    if name == "frames":
        return list(pairs.flatten(1))
    return [pair[:, band : band + 40].flatten() for pair in pairs for band in (0, 40)]


@torch.no_grad()
@pytest.mark.parametrize(("name", "normalized"), [*((name, False) for name in ENCODERS), ("image", True)])
def test_loss_is_that_of_the_paper_by_plain_loops_over_examples_alone(name, normalized):
    model, batch = make(name, normalized=normalized)
    _, hidden, _ = model.fill_in(batch)
    total, count, deviations = 0.0, 0, []
    for row in range(4):
        inputs = batch.inputs[row : row + 1]
        embedded = model.encoder.embed(inputs if name == "image" else inputs[:, : LENGTHS[row]])
        vectors, places = embedded.vectors.clone(), shown_at(name, batch, row)
        assert vectors.shape[1] == len(places) and not hidden.mask[row, len(places) :].any()
        for place in range(len(places)):
            if hidden.mask[row, place]:
                vectors[0, place] = model.mask_vector
        sequence = model.encoder.contextualize(embedded._replace(vectors=vectors)).sequence[0]
        for place, true in enumerate(places):
            if hidden.mask[row, place]:
                if normalized:
                    true = (true - true.mean()) / (true.var() + 1e-6).sqrt()
                total += float((F.linear(sequence[place], model.head.weight, model.head.bias) - true).abs().sum())
                count += len(true)
                deviations.append(true)
    found = model.losses(batch)
    assert count > 100 and float(found["loss"]) == pytest.approx(total / count, rel=1e-5)
    truth = torch.stack(deviations)
    explained = 1 - total / count / float((truth - truth.mean(0)).abs().mean())
    assert float(found["explained"]) == pytest.approx(explained, rel=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_nothing_that_is_hidden_and_no_padding_reaches_the_prediction(name):
    model, batch = make(name)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    leaf = embedded.vectors.detach().requires_grad_()
    model.encoder.embed = lambda inputs, mask: embedded._replace(vectors=leaf)
    _, hidden, predicted = model.fill_in(batch)
    (predicted.square() * hidden.valid[..., None]).sum().backward()
    real = torch.ones_like(hidden.mask) if embedded.mask is None else embedded.mask
    reached = leaf.grad.abs().sum(2)
    assert not reached[hidden.mask | ~real].any() and (reached[~hidden.mask & real] > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("overlaps", [False, True])
def test_a_visible_frame_shows_no_part_of_a_hidden_neighbour_where_frames_do_not_overlap(overlaps):
    torch.manual_seed(0)
    front_end = LogMel(40, 16) if overlaps else LogMel(40, strides=[], stack=2)
    encoder = Wav2Vec2Encoder(front_end, dim=32, depth=1, heads=2, position_kernel=8).eval()
    waves = torch.randn(1, 6000, generator=torch.Generator().manual_seed(0))
    other = waves.clone()
    # The last samples of the first spectrogram frame at place 11, which no frame at place 10 reaches.
    begin = 11 * 320
    other[:, begin + 240 : begin + 400] = waves[:, begin + 240 : begin + 400].flip(1)
    changed = (encoder.embed(other).vectors - encoder.embed(waves).vectors).abs().amax(2)[0] > 1e-3
    assert changed[11] and bool(changed[10]) == overlaps


@torch.no_grad()
@pytest.mark.parametrize(("name", "normalized"), [*((name, False) for name in ENCODERS), ("image", True)])
def test_pictures_are_grey_where_hidden_true_where_visible_and_in_the_unit_range(name, normalized):
    model, batch = make(name, normalized=normalized)
    ((pictures, row, names),) = model.pictures(batch).values()
    assert row == 4 and names == ["inputs", "hidden", "filled in"] and len(pictures) == 12
    assert pictures.min() >= 0 and pictures.max() <= 1
    original, shown, filled = pictures.chunk(3)
    contents, hidden, predicted = model.fill_in(batch)
    is_hidden = model.encoder.arrange(hidden.mask[..., None].expand_as(contents).float(), batch.inputs).bool()
    assert (shown[is_hidden] == 0.5).all() and torch.equal(shown[~is_hidden], original[~is_hidden])
    assert torch.equal(filled[~is_hidden], original[~is_hidden]) and not torch.equal(filled, original)
    black, white = model.encoder.content_range
    if normalized:
        true = hidden.at(contents)
        predicted = predicted * (true.var(2, keepdim=True) + 1e-6).sqrt() + true.mean(2, keepdim=True)
    made = ((predicted - black) / (white - black)).clamp(0, 1)
    place = int(hidden.positions[0, 0])
    expected = model.encoder.arrange(contents * 0 + made[:, :1], batch.inputs)[0]
    here = torch.zeros(contents.shape[:2]).index_fill_(1, torch.tensor([place]), 1.0)
    here = model.encoder.arrange(here[..., None].expand_as(contents), batch.inputs)[0].bool()
    torch.testing.assert_close(filled[0][here], expected[here])


def stripes(count: int, seed: int) -> Batch:
    """Grey images of slanted waves: what is hidden follows from what is seen and from where."""
    generator = torch.Generator().manual_seed(seed)
    phase, slope = 6.2832 * torch.rand(2, count, 1, 1, generator=generator)
    row, column = torch.meshgrid(*[torch.arange(SIDE) / SIDE] * 2, indexing="ij")
    waves = 0.5 + 0.5 * (phase + 3 * column + slope * row).sin()
    return Batch(waves[:, None], None, None, torch.arange(count))


class Peeking(SimMIM):
    """A slip: the loss is at the places that are seen."""

    def fill_in(self, batch):
        contents, hidden, _ = super().fill_in(batch)
        seen = type(hidden).of_mask(~hidden.mask, contents.shape[1])
        encoded = self.encoder.contextualize(
            hidden.replace(self.encoder.embed(batch.inputs, batch.mask), self.mask_vector)
        )
        return contents, seen, self.head(seen.at(encoded.sequence))


def explained(kind: type[SimMIM]) -> float:
    """After a short training, the part of what is hidden in new images that is predicted."""
    torch.manual_seed(0)
    model = kind(image_encoder(1), RandomPlaces(0.5))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for step in range(300):
        batch = stripes(32, step)
        optimizer.zero_grad()
        model.losses(batch._replace(index=32 * step + batch.index))["loss"].backward()
        optimizer.step()
    model.__class__ = SimMIM
    with torch.no_grad():
        return float(model.eval().losses(stripes(256, 1000))["explained"])


def test_it_predicts_what_follows_from_what_is_seen():
    assert explained(SimMIM) > 0.6
    assert explained(Peeking) < 0.3


def test_the_papers_masking_is_taken_for_what_places_are():
    assert isinstance(make("frames")[0].masking, RandomSpans)
    for name in ("image", "patches"):
        masking = make(name)[0].masking
        assert isinstance(masking, RandomPlaces) and masking.mask_ratio == 0.6
    blocks = RandomBlocks(0.5)
    model, batch = make("patches", blocks)
    assert model.masking is blocks
    _, hidden, _ = model.fill_in(batch)
    assert torch.equal(hidden.mask, blocks(model.encoder.embed(*batch[:2]).mask, model.keys(batch), (18, 2)).mask)


def test_what_cannot_be_filled_in_is_refused_in_a_sentence():
    for encoder in (ResNet(10, 8), MLP(image_size=8)):
        with pytest.raises(InputError, match=rf"SimMIM replaces patches, .* {type(encoder).__name__} has no such step"):
            SimMIM(encoder)
    with pytest.raises(InputError, match=r"SimMIM predicts the pixels of patches or .* BertEncoder has neither"):
        SimMIM(BertEncoder(vocabulary(9), dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match="SimMIM predicts what is hidden from both sides, of which GRUEncoder"):
        SimMIM(GRUEncoder(WaveConvolutions(16, [10, 8, 4], [5, 4, 2]), dim=32))
    with pytest.raises(InputError, match=r"SimMIM brings .* of the one number .* set normalize_targets to false"):
        SimMIM(ViT(8, 1, dim=32, depth=1, heads=2, channels=1), normalize_targets=True)
    with pytest.raises(InputError, match="RandomSpans hides spans of places in a line"):
        model, batch = make("patches", RandomSpans())
        model.losses(batch)
