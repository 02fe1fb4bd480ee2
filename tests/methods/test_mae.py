"""MAE against an independent computation in plain loops, and a toy that only a whole one can fill in."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.places import KEPT, KeptPlaces, RandomPlaces
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.log_mel import LOUD, SILENCE, log_mel
from ssl_zoo.encoders.positions import sine_cosine_positions
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.mae import MAE
from ssl_zoo.randomness import fold_in, uniform
from tests.made import vocabulary

SIDE, PATCH, CHANNELS, IMAGES = 8, 2, 3, 4
PLACES = (SIDE // PATCH) ** 2


def make(channels: int = CHANNELS, kind: type[MAE] = MAE, **settings) -> MAE:
    torch.manual_seed(0)
    encoder = ViT(SIDE, PATCH, dim=32, depth=2, heads=2, channels=channels, pooling="mean", positions="sincos")
    return kind(encoder, **{"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2, **settings})


def images(count: int = IMAGES, channels: int = CHANNELS) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, channels, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return Batch(pixels, None, None, torch.arange(5, 5 + count))


def drawn(model: MAE, batch: Batch, visible: int) -> list[list[int]]:
    """Which places of every image are visible, in order."""
    draws = uniform(fold_in(model.keys(batch), KEPT), PLACES)
    return [sorted(sorted(range(PLACES), key=lambda place: row[place])[:visible]) for row in draws.tolist()]


def sines(place: int, dim: int) -> Tensor:
    row, column = divmod(place, SIDE // PATCH)
    angles = [[each / 10000 ** (k / (dim // 4)) for k in range(dim // 4)] for each in (column, row)]
    return torch.tensor([f(angle) for axis in angles for f in (math.sin, math.cos) for angle in axis])


def patch(image: Tensor, place: int) -> Tensor:
    row, column = (PATCH * each for each in divmod(place, SIDE // PATCH))
    return image[:, row : row + PATCH, column : column + PATCH].reshape(-1)


@torch.no_grad()
@pytest.mark.parametrize("normalized", [True, False])
def test_loss_is_that_of_the_paper_by_plain_loops(normalized):
    model, batch = make(normalize_targets=normalized, masking=KeptPlaces(0.7)).eval(), images()
    decoder, trunk = model.patch_decoder, model.encoder.model
    for parameter in model.parameters():
        if parameter.ndim > 1:  # so that context matters
            parameter.mul_(4)
    visible_count = int(PLACES * (1 - 0.7))
    total, count = 0.0, 0
    for pixels, visible in zip(batch.inputs, drawn(model, batch, visible_count), strict=True):
        image = pixels.double() / 255
        weight = trunk.embeddings.patch_embeddings.projection.weight.flatten(1)
        tokens = [trunk.embeddings.cls_token[0, 0]]  # its position is all zeros
        for place in visible:
            shown = weight @ patch((image.float() - 0.5) / 0.25, place)
            tokens.append(shown + trunk.embeddings.patch_embeddings.projection.bias + sines(place, 32))
        vectors = torch.stack(tokens)[None]
        for layer in trunk.layers:
            vectors = layer(vectors)
        vectors = trunk.layernorm(vectors)[0]

        entering = [decoder.enter(vectors[0])]
        for place in range(PLACES):
            known = decoder.enter(vectors[1 + visible.index(place)]) if place in visible else decoder.mask_vector
            entering.append(known + sines(place, 16))
        vectors = torch.stack(entering)[None]
        for layer in decoder.layers:
            vectors = layer(vectors)
        for place in set(range(PLACES)) - set(visible):
            predicted, target = decoder.leave(decoder.norm(vectors[0, 1 + place])), patch(image, place)
            if normalized:
                mean = sum(target) / len(target)
                variance = sum((value - mean) ** 2 for value in target) / (len(target) - 1)
                target = (target - mean) / (variance + 1e-6) ** 0.5
            total += float(((predicted - target) ** 2).sum())
            count += len(target)
    assert count == IMAGES * (PLACES - visible_count) * CHANNELS * PATCH**2
    assert float(model.losses(batch)["loss"]) == pytest.approx(total / count, rel=1e-4)


def library_names(model: MAE) -> dict[str, Tensor]:
    """Weights by the names that the transformers library has for them, pixels channel by channel at each."""
    weights = {name.replace("encoder.model.", "vit."): value for name, value in model.state_dict().items()}
    ours = {"patch_decoder.layers": "decoder.decoder_layers", "patch_decoder.enter": "decoder.decoder_embed"}
    ours |= {"patch_decoder.norm": "decoder.decoder_norm", "patch_decoder.leave": "decoder.decoder_pred"}
    for name in list(weights):
        for own, theirs in ours.items():
            if name.startswith(own):
                weights[name.replace(own, theirs)] = weights.pop(name)
    weights["decoder.decoder_pos_embed"] = sine_cosine_positions(SIDE // PATCH, 16)  # zeros in a new one of theirs
    weights["decoder.mask_token"] = weights.pop("patch_decoder.mask_vector")[None, None]
    for name in ("decoder.decoder_pred.weight", "decoder.decoder_pred.bias"):
        weights[name] = weights[name].unflatten(0, (CHANNELS, PATCH**2)).transpose(0, 1).flatten(0, 1)
    return weights


@torch.no_grad()
@pytest.mark.parametrize("normalized", [True, False])
def test_loss_is_that_of_the_transformers_library(normalized):
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    torch.manual_seed(0)
    sizes = {"dim": 32, "depth": 2, "heads": 2, "channels": CHANNELS, "pooling": "mean", "positions": "sincos"}
    encoder = ViT(SIDE, PATCH, **sizes, mean=0.0, std=1.0)
    model = MAE(encoder, None, normalized, decoder_dim=16, decoder_depth=1, decoder_heads=2).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(3)
    config = ViTMAEConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, image_size=SIDE,
        patch_size=PATCH, decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=64, mask_ratio=0.75, norm_pix_loss=normalized,
    )  # fmt: skip
    theirs = ViTMAEForPreTraining(config).eval()
    assert theirs.load_state_dict(library_names(model), strict=False) == ([], ["noise_seed"])
    batch = images()
    noise = torch.ones(IMAGES, PLACES)  # the library keeps the places with the least
    for row, visible in enumerate(drawn(model, batch, 4)):
        noise[row, visible] = torch.linspace(0, 0.5, 4)
    expected = theirs(batch.inputs / 255, noise=noise).loss
    assert float(model.losses(batch)["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_nothing_that_is_hidden_reaches_the_prediction_and_all_that_is_visible_does():
    model, batch = make().eval(), images()
    floats = (batch.inputs / 255).requires_grad_()
    _, hidden, predicted = model.fill_in(batch._replace(inputs=floats))
    predicted.square().sum().backward()
    reached = F.unfold(floats.grad.abs(), PATCH, stride=PATCH).sum(1)
    assert hidden.mask.sum(1).tolist() == [12] * IMAGES
    assert not reached[hidden.mask].any() and (reached[~hidden.mask] > 0).all()


def test_every_place_is_hidden_equally_often_and_anew_at_every_step():
    model, batch = make(), images(2000, 3)
    _, hidden, _ = model.fill_in(batch)
    shares = hidden.mask.float().mean(0)
    assert hidden.valid.all() and torch.equal(hidden.positions, hidden.positions.sort(1).values)
    assert shares.sum() == 12 and (shares - 0.75).abs().max() < 5 * (0.75 * 0.25 / 2000) ** 0.5
    first = hidden.positions[:4]
    _, same, _ = model.fill_in(Batch(*(None if each is None else each[:4] for each in batch)))
    assert torch.equal(same.positions, first)  # whatever the company
    _, validation, _ = model.eval().fill_in(batch)
    assert not torch.equal(validation.positions[:4], first)


LENGTHS = [6000, 4400, 3000, 6000]


def speech(kind: type[Encoder] = AudioViT, **settings) -> tuple[MAE, Batch]:
    """Recordings of different lengths, and MAE of a small encoder of any kind on them."""
    torch.manual_seed(0)
    encoder = kind(**(kind.tiny() | settings))
    model = MAE(encoder, KeptPlaces(0.6), decoder_dim=16, decoder_depth=1, decoder_heads=2).eval()
    mask = torch.arange(6000) < torch.tensor(LENGTHS)[:, None]
    waves = 0.1 * torch.randn(4, 6000, generator=torch.Generator().manual_seed(2)) * mask
    return model, Batch(waves, mask, None, torch.arange(4))


@torch.no_grad()
def test_loss_on_spectrograms_is_that_of_every_recording_by_itself():
    model, batch = speech(patch_frames=3, patch_bands=20)
    decoder, encoder = model.patch_decoder, model.encoder
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(3)
    total, count = 0.0, 0
    draws = uniform(fold_in(model.keys(batch), KEPT), 400)
    for wave, length, row in zip(batch.inputs, LENGTHS, draws, strict=True):
        spectra = log_mel(wave[None, :length])[0][0]
        times = len(spectra) // 3
        places = [(time, band) for time in range(times) for band in range(4)]
        patches = [spectra[3 * t : 3 * t + 3, 20 * b : 20 * b + 20].flatten() for t, b in places]
        order = sorted(range(len(places)), key=lambda place: row[place])
        visible = sorted(order[: math.floor(0.4 * len(places))])

        def position(place: int, dim: int) -> Tensor:
            time, band = divmod(place, 4)
            waves = [each / 10000 ** (k / (dim // 4)) for each in (band, time) for k in range(dim // 4)]
            halves = waves[: dim // 4], waves[dim // 4 :]
            return torch.tensor([f(angle) for half in halves for f in (math.sin, math.cos) for angle in half])

        shown = torch.stack([encoder.projection(patches[place]) + position(place, 32) for place in visible])[None]
        for layer in encoder.layers:
            shown = layer(shown)
        shown = decoder.enter(encoder.norm(shown)[0])
        vectors = torch.stack(
            [
                (shown[visible.index(place)] if place in visible else decoder.mask_vector) + position(place, 16)
                for place in range(len(places))
            ]
        )[None]
        for layer in decoder.layers:
            vectors = layer(vectors)
        for place in set(range(len(places))) - set(visible):
            target = (patches[place] - patches[place].mean()) / (patches[place].var() + 1e-6).sqrt()
            total += float((decoder.leave(decoder.norm(vectors[0, place])) - target).square().sum())
            count += len(target)
    assert float(model.losses(batch)["loss"]) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("kind", [AudioViT, Wav2Vec2Encoder])
def test_of_speech_nothing_hidden_and_no_padding_reaches_the_prediction(kind):
    model, batch = speech(kind)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    leaf = embedded.vectors.detach().requires_grad_()
    model.encoder.embed = lambda inputs, mask: embedded._replace(vectors=leaf)
    _, hidden, predicted = model.fill_in(batch)
    (predicted.square() * hidden.valid[..., None]).sum().backward()
    reached = leaf.grad.abs().sum(2)
    assert not reached[hidden.mask | ~embedded.mask].any()
    assert (reached[~hidden.mask & embedded.mask] > 0).all()


@torch.no_grad()
def test_pictures_of_spectrograms_are_grey_where_hidden_and_true_where_visible():
    model, batch = speech()
    ((pictures, row, names),) = model.pictures(batch).values()
    assert row == 4 and names == ["inputs", "hidden", "filled in"] and pictures.shape == (12, 1, 80, 36)
    assert pictures.min() >= 0 and pictures.max() <= 1
    original, shown, filled = pictures[:, 0].chunk(3)
    expected = (log_mel(batch.inputs, batch.mask)[0].mT.flip(1) - SILENCE) / (LOUD - SILENCE)
    torch.testing.assert_close(original, expected.clamp(0, 1), atol=1e-4, rtol=1e-4)
    _, hidden, _ = model.fill_in(batch)
    grey = hidden.mask.view(4, -1, 2).repeat_interleave(2, 1).repeat_interleave(40, 2).mT.flip(1)
    assert (shown[grey] == 0.5).all() and grey.any()
    assert torch.equal(shown[~grey], original[~grey]) and torch.equal(filled[~grey], original[~grey])
    assert (filled[grey] - original[grey]).abs().mean() > 0.01


class Unplaced(MAE):
    """A slip: the decoder's places have no positions."""

    def fill_in(self, batch: Batch) -> tuple[Tensor, Hidden, Tensor]:
        decode = self.patch_decoder.forward
        self.patch_decoder.forward = lambda encoded, visible, hidden, positions, mask: decode(
            encoded, visible, hidden, 0 * positions, mask
        )
        try:
            return super().fill_in(batch)
        finally:
            del self.patch_decoder.forward


def planes(count: int, seed: int) -> Batch:
    """Grey images that rise steadily in some direction: few patches of one, with their places, give all others."""
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.rand(2, count, 1, 1, generator=generator) - 0.5
    row, column = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    return Batch((0.5 + 0.5 * (slopes[0] * row + slopes[1] * column))[:, None], None, None, torch.arange(count))


def explained(kind: type[MAE]) -> tuple[float, float]:
    """After a short training, the part of new images' variance that is predicted, and by the visible patches' mean."""
    model = make(1, kind, normalize_targets=False, decoder_dim=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for step in range(150):
        batch = planes(64, step)
        optimizer.zero_grad()
        model.losses(batch._replace(index=64 * step + batch.index))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        test = planes(256, 1000)
        patches, hidden, predicted = model.eval().fill_in(test)
        targets = hidden.at(patches)
        shown = patches[~hidden.mask].view(256, -1).mean(1)[:, None, None]
        variance = (targets - targets.mean((0, 1))).square().mean()
        return tuple(1 - float((each - targets).square().mean() / variance) for each in (predicted, shown))


def test_it_predicts_what_follows_from_the_visible_patches_and_their_places():
    whole, mean_of_visible = explained(MAE)
    assert whole > 0.8 and whole > mean_of_visible + 0.5
    assert explained(Unplaced)[0] < 0.5


@torch.no_grad()
@pytest.mark.parametrize("normalized", [True, False])
def test_pictures_show_images_what_is_visible_and_what_is_filled_in(normalized):
    model, batch = make(normalize_targets=normalized).eval(), images()
    ((name, (found, row, names)),) = model.pictures(batch).items()
    assert names == ["inputs", "hidden", "filled in"]
    assert name == "reconstructions" and row == IMAGES and found.shape == (3 * IMAGES, CHANNELS, SIDE, SIDE)
    original, shown, filled = found.chunk(3)
    torch.testing.assert_close(original, batch.inputs / 255)
    _, hidden, predicted = model.fill_in(batch)
    for image in range(IMAGES):
        for place in range(PLACES):
            true = patch(original[image], place)
            if not hidden.mask[image, place]:
                assert torch.equal(patch(shown[image], place), true) and torch.equal(patch(filled[image], place), true)
                continue
            assert (patch(shown[image], place) == 0.5).all()
            made = predicted[image, hidden.positions[image].tolist().index(place)]
            if normalized:
                made = made * (true.var() + 1e-6).sqrt() + true.mean()
            torch.testing.assert_close(patch(filled[image], place), made.clamp(0, 1))


def test_what_cannot_be_filled_in_is_refused_in_a_sentence():
    for encoder in (ResNet(10, 8), MLP(image_size=8)):
        with pytest.raises(InputError, match=f"MAE leaves patches, .* {type(encoder).__name__} cannot do without any"):
            MAE(encoder)
    with pytest.raises(InputError, match=r"MAE predicts the pixels of patches or .* BertEncoder has neither"):
        MAE(BertEncoder(vocabulary(9), dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match=r"mask_ratio of 0\.97 hides none or all of 16 places"):
        make(masking=KeptPlaces(0.97)).losses(images())
    with pytest.raises(InputError, match="Everything is hidden, and nothing is left to see"):
        make(masking=RandomPlaces(1.0)).losses(images())
    with pytest.raises(InputError, match="width 16 is not a multiple of its 3 heads"):
        make(decoder_heads=3)
    for dim in (18, 0):
        with pytest.raises(InputError, match=f"width is {dim}; give a multiple of 4"):
            make(decoder_dim=dim, decoder_heads=1)
    with pytest.raises(InputError, match="decoder has 0 layers, and without one nothing visible reaches"):
        make(decoder_depth=0)
    single = ViT(SIDE, 1, dim=32, depth=1, heads=2, channels=1, pooling="mean")
    with pytest.raises(InputError, match=r"MAE brings .* of the one number .* set normalize_targets to false"):
        MAE(single)
    assert MAE(single, normalize_targets=False).losses(images(channels=1))["loss"].isfinite()
