"""Image GPT against the transformers library's own loss, and toys whose pixels follow from those before or around."""

import math

import pytest
import torch
from torch import Tensor
from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.image import ViT
from ssl_zoo.encoders.image_gpt import ImageGPTEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.image_gpt import ImageGPT

SIDE, COLOURS, IMAGES = 6, 8, 4


def make(causal: bool = True, kind: type[ImageGPT] = ImageGPT, channels: int = 3, **settings) -> ImageGPT:
    torch.manual_seed(0)
    return kind(ImageGPTEncoder(SIDE, channels, COLOURS, 1, 32, 2, 2, 0.0, causal), **settings)


def uneven(model: ImageGPT) -> ImageGPT:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(5)
    return model.eval()


def images(count: int = IMAGES, channels: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, channels, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return Batch(pixels, None, None, torch.arange(5, 5 + count))


@torch.no_grad()
def test_loss_is_that_of_the_library_with_the_same_weights():
    model, batch = uneven(make()), images()
    sizes = {"vocab_size": COLOURS + 1, "n_positions": SIDE**2 + 1, "n_embd": 32, "n_layer": 2, "n_head": 2}
    config = ImageGPTConfig(**sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    published = ImageGPTForCausalImageModeling(config).eval()
    published.transformer.load_state_dict(model.encoder.model.state_dict())
    published.lm_head.load_state_dict(model.head.state_dict())
    codes = model.encoder.codes(batch.inputs)
    begun = torch.cat([torch.full((IMAGES, 1), COLOURS), codes], dim=1)
    expected = float(published(begun, labels=begun).loss)
    terms = model.losses(batch)
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["bits_per_dim"]) == pytest.approx(expected / math.log(2) / 3, rel=1e-5)
    guesses = published(begun).logits[:, :-1].argmax(2)
    assert float(terms["accuracy"]) == pytest.approx(float((guesses == codes).float().mean()))


@torch.no_grad()
def test_loss_of_hidden_pixels_is_that_of_plain_loops():
    model, batch = uneven(make(causal=False, mask_ratio=0.3)), images()
    encoder, codes = model.encoder, model.encoder.codes(batch.inputs)
    hidden, _ = model.filled_in(batch, codes)
    table, total, count = encoder.model.wte.weight, 0.0, 0
    for image in range(IMAGES):
        shown = [
            model.mask_vector if off else table[c] for off, c in zip(hidden.mask[image], codes[image], strict=True)
        ]
        vectors = torch.stack([table[-1], *shown])[None] + encoder.model.wpe.weight[: SIDE**2 + 1]
        for layer in encoder.model.h:
            query, key, value = layer.attn.c_attn(layer.ln_1(vectors))[0].view(-1, 3, 2, 16).unbind(1)
            heads = [(query[:, head] @ key[:, head].T / 4).softmax(1) @ value[:, head] for head in range(2)]
            vectors = vectors + layer.attn.c_proj(torch.cat(heads, dim=1))[None]
            vectors = vectors + layer.mlp(layer.ln_2(vectors))
        for place in hidden.mask[image].nonzero()[:, 0].tolist():
            logits = model.head(encoder.model.ln_f(vectors)[0, 1 + place])
            total -= float(logits.log_softmax(0)[codes[image, place]])
            count += 1
    assert 0.2 * IMAGES * SIDE**2 < count < 0.4 * IMAGES * SIDE**2
    assert float(model.losses(batch)["loss"]) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_no_pixel_is_predicted_from_itself_nor_from_what_is_hidden(causal):
    model, batch = uneven(make(causal)), images()
    codes = model.encoder.codes(batch.inputs)
    looked_up = model.encoder.model.wte(codes).detach().requires_grad_()
    model.encoder.embed_codes = lambda given: Embedded(looked_up[:, : given.shape[1]])
    place = 20
    if causal:
        model.before_each(codes)[:, place].square().sum().backward()
        seen = [each < place for each in range(SIDE**2)]
        reached = looked_up.grad.abs().sum((0, 2)) > 0
        assert reached.tolist() == seen
    else:
        hidden, sequence = model.filled_in(batch, codes)
        hidden.at(sequence)[hidden.valid].square().sum().backward()
        reached = looked_up.grad.abs().sum(2) > 0
        assert torch.equal(reached, ~hidden.mask)


@torch.no_grad()
def test_features_are_the_mean_over_the_pixels_of_a_middle_layer():
    model, batch = uneven(make()), images()
    layers = model.encoder(batch.inputs, layers=True).layers
    torch.testing.assert_close(model.encode(batch).pooled, layers[1][:, 1:].mean(1))
    torch.testing.assert_close(make(feature_layer=0).eval().encode(batch, layers=True).layers[0].shape, layers[0].shape)
    assert model.encode(batch).layers == () and len(model.encode(batch, layers=True).layers) == 3
    last = uneven(make(feature_layer=2))
    torch.testing.assert_close(last.encode(batch).pooled, layers[2][:, 1:].mean(1))


@torch.no_grad()
def test_what_is_drawn_follows_the_models_own_odds_and_depends_on_the_key_alone():
    model, keys = uneven(make()), torch.arange(600) * 7919 + 3
    begun = model.encoder.codes(images(1).inputs)[:, : SIDE**2 - 1].expand(600, -1)
    drawn = model.draw(begun, keys)
    assert torch.equal(drawn[:, :-1], begun)
    odds = model.head(model.before_each(drawn[:1])[0, -1]).softmax(0)
    counts = torch.bincount(drawn[:, -1], minlength=COLOURS) / 600
    assert ((counts - odds).abs() < 5 * (odds * (1 - odds) / 600).sqrt() + 1e-3).all()
    assert torch.equal(model.draw(begun[:9], keys[:9]), drawn[:9])
    likeliest = uneven(make(temperature=0.0)).draw(begun[:2], keys[:2])
    assert likeliest[:, -1].tolist() == [int(odds.argmax())] * 2


PATTERN = torch.randint(0, 2, (1, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(9))


def patterns(count: int, seed: int) -> Batch:
    """Images of one pattern or of its inverse, so that a pixel follows from one before and from its place."""
    inverse = torch.randint(0, 2, (count, 1, 1, 1), generator=torch.Generator().manual_seed(seed))
    pixels = (255 * ((PATTERN + inverse) % 2)).to(torch.uint8)
    return Batch(pixels, None, None, seed * count + torch.arange(count))


class Unplaced(ImageGPT):
    """A slip: all pixels stand at one place."""

    def before_each(self, codes: Tensor) -> Tensor:
        with torch.no_grad():
            self.encoder.model.wpe.weight[:] = 0
        return super().before_each(codes)


def learnt(kind: type[ImageGPT]) -> tuple[ImageGPT, float]:
    model = make(kind=kind, channels=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for step in range(140):
        optimizer.zero_grad()
        model.losses(patterns(16, step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return model.eval(), float(model.losses(patterns(200, 1000))["loss"])


def test_it_learns_what_follows_from_the_pixels_before_and_completes_images_so():
    model, loss = learnt(ImageGPT)
    least = math.log(2) / SIDE**2  # the first pixel is a toss of a coin, all others follow from it
    assert least - 0.005 < loss < least + 0.05
    assert learnt(Unplaced)[1] > loss + 0.3
    batch = patterns(12, 2000)
    pictures = model.pictures(batch)
    completions, row, names = pictures["completions"]
    assert names == ["inputs", "upper half", "completed"] and row == 12 and completions.shape == (36, 1, SIDE, SIDE)
    true, upper, made = completions.chunk(3)
    assert torch.equal(true, batch.inputs / 255)
    assert torch.equal(upper[:, :, :3], true[:, :, :3]) and (upper[:, :, 3:] == 0.5).all()
    assert torch.equal(made[:, :, :3], true[:, :, :3])
    assert (made == true).float().mean() > 0.95
    samples, row = pictures["samples"]
    assert samples.shape == (12, 1, SIDE, SIDE) and row == 12
    right = (samples == PATTERN).float().mean((1, 2, 3))
    assert ((right > 0.8) | (right < 0.2)).float().mean() > 0.8 and right.max() > 0.8 and right.min() < 0.2


@torch.no_grad()
def test_pictures_of_hidden_pixels():
    model, batch = uneven(make(causal=False)), images()
    ((name, (rows, count, names)),) = model.pictures(batch).items()
    assert (name, count, names) == ("reconstructions", IMAGES, ["inputs", "hidden", "filled in"])
    true, shown, made = rows.chunk(3)
    hidden, _ = model.filled_in(batch, model.encoder.codes(batch.inputs))
    off = hidden.mask.view(IMAGES, 1, SIDE, SIDE).expand_as(true)
    assert (shown[off] == 0.5).all() and torch.equal(shown[~off], true[~off]) and torch.equal(made[~off], true[~off])


def test_guessing_costs_the_log_of_the_palettes_size():
    model, batch = make(), images()
    model.head.requires_grad_(False).weight.zero_()
    assert model.chance_loss(8) == pytest.approx(math.log(COLOURS))
    assert float(model.losses(batch)["loss"].detach()) == pytest.approx(math.log(COLOURS), rel=1e-6)


def test_what_it_cannot_do_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="ImageGPT predicts codes of pixels, and ViT makes none"):
        ImageGPT(ViT(8, 4, dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match="feature_layer is 3; give a layer from 0 to 2"):
        make(feature_layer=3)
    with pytest.raises(InputError, match=r"temperature is -1\.0; give a number of at least 0"):
        make(temperature=-1.0)
    with pytest.raises(InputError, match=r"mask_ratio is 0\.0"):
        make(causal=False, mask_ratio=0.0)
