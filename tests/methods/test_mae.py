"""MAE against an independent computation in plain loops, and a toy that only a whole one can fill in."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.mae import HIDING, MAE
from ssl_zoo.randomness import fold_in, uniform

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
    draws = uniform(fold_in(model.keys(batch), HIDING), PLACES)
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
    model, batch = make(normalize_targets=normalized, mask_ratio=0.7).eval(), images()
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


def test_nothing_that_is_hidden_reaches_the_prediction_and_all_that_is_visible_does():
    model, batch = make().eval(), images()
    floats = (batch.inputs / 255).requires_grad_()
    _, hidden, predicted = model.fill_in(batch._replace(inputs=floats))
    predicted.square().sum().backward()
    reached = F.unfold(floats.grad.abs(), PATCH, stride=PATCH).sum(1)
    is_hidden = torch.zeros(IMAGES, PLACES, dtype=torch.bool).scatter(1, hidden, True)
    assert is_hidden.sum(1).tolist() == [12] * IMAGES
    assert not reached[is_hidden].any() and (reached[~is_hidden] > 0).all()


def test_every_place_is_hidden_equally_often_and_anew_at_every_step():
    model, batch = make(mask_ratio=0.75), images(2000, 3)
    _, hidden, _ = model.fill_in(batch)
    shares = torch.bincount(hidden.flatten(), minlength=PLACES) / len(batch.index)
    assert shares.sum() == 12 and (shares - 0.75).abs().max() < 5 * (0.75 * 0.25 / 2000) ** 0.5
    first = hidden[:4]
    _, same, _ = model.fill_in(Batch(*(None if each is None else each[:4] for each in batch)))
    assert torch.equal(same, first)  # whatever the company
    _, validation, _ = model.eval().fill_in(batch)
    assert not torch.equal(validation[:4], first)


class Unplaced(MAE):
    """A slip: the decoder's places have no positions."""

    def fill_in(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        decode = self.patch_decoder.forward
        self.patch_decoder.forward = lambda encoded, visible, hidden, positions: decode(
            encoded, visible, hidden, 0 * positions
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
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(150):
        batch = planes(64, step)
        optimizer.zero_grad()
        model.losses(batch._replace(index=64 * step + batch.index))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        test = planes(256, 1000)
        patches, hidden, predicted = model.eval().fill_in(test)
        targets = torch.take_along_dim(patches, hidden[..., None], 1)
        is_hidden = torch.zeros(256, PLACES, dtype=torch.bool).scatter(1, hidden, True)
        shown = patches[~is_hidden].view(256, -1).mean(1)[:, None, None]
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
            if place not in hidden[image]:
                assert torch.equal(patch(shown[image], place), true) and torch.equal(patch(filled[image], place), true)
                continue
            assert (patch(shown[image], place) == 0.5).all()
            made = predicted[image, hidden[image].tolist().index(place)]
            if normalized:
                made = made * (true.var() + 1e-6).sqrt() + true.mean()
            torch.testing.assert_close(patch(filled[image], place), made.clamp(0, 1))


def test_what_cannot_be_filled_in_is_refused_in_a_sentence():
    vocabulary = {"size": 9, "pad": 0, "begin": 1, "end": 2, "mask": 3, "unknown": 4, "special": [], "hash": "0" * 16}
    for encoder in (ResNet(10, 8), MLP(image_size=8)):
        with pytest.raises(InputError, match=f"MAE leaves patches, .* {type(encoder).__name__} cannot do without any"):
            MAE(encoder)
    with pytest.raises(InputError, match="MAE fills in patches of images, which BertEncoder does not read"):
        MAE(BertEncoder({**vocabulary, "continuations": []}, dim=8, depth=1, heads=1))
    for ratio in (-0.1, 0.0, 1.0, 1.5):
        with pytest.raises(InputError, match=f"MAE: mask_ratio is {ratio}; set it between 0 and 1"):
            make(mask_ratio=ratio)
    with pytest.raises(InputError, match=r"MAE hides 0\.97 of a square of patches but these images have 16"):
        make(mask_ratio=0.97).losses(images())
    with pytest.raises(InputError, match="width 16 is not a multiple of its 3 heads"):
        make(decoder_heads=3)
